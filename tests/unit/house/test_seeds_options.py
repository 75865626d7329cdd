"""Each row of the seeds' tables about send and identifyUser, and the tests that see it arrive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from carillon.v1 import send_options_pb2, sender_pb2, user_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor

ROOT = Path(__file__).parents[3]

# What each of the seeds' rows is called in the contract; rows that only hold others are left out.
SEEDS = {
    "notificationId": "notification_id",
    "user.id": "user.id",
    "user.email": "user.email",
    "user.number": "user.number",
    "mergeTags": "merge_tags",
    "replace": "replace",
    "subNotificationId": "sub_notification_id",
    "templateId": "template_id",
    "forceChannels": "force_channels",
    "email.replyToAddresses": "options.email.reply_to_addresses",
    "email.ccAddresses": "options.email.cc_addresses",
    "email.bccAddresses": "options.email.bcc_addresses",
    "email.attachments.filename": "options.email.attachments.filename",
    "email.attachments.url": "options.email.attachments.url",
    "apn.expiry": "options.apn.expire_time",
    "apn.priority": "options.apn.priority",
    "apn.collapseId": "options.apn.collapse_id",
    "apn.threadId": "options.apn.thread_id",
    "apn.badge": "options.apn.badge",
    "apn.sound": "options.apn.sound",
    "apn.contentAvailable": "options.apn.content_available",
    "fcm.android.collapseKey": "options.fcm.android.collapse_key",
    "fcm.android.priority": "options.fcm.android.priority",
    "fcm.android.ttl": "options.fcm.android.ttl",
    "pushTokens.type": "user.push_tokens.provider",
    "pushTokens.token": "user.push_tokens.token",
    "pushTokens.device.app_id": "user.push_tokens.device.app_id",
    "pushTokens.device.ad_id": "user.push_tokens.device.ad_id",
    "pushTokens.device.device": "user.push_tokens.device.device_id",
    "pushTokens.device.platform": "user.push_tokens.device.platform",
    "pushTokens.device.manufacturer": "user.push_tokens.device.manufacturer",
    "pushTokens.device.model": "user.push_tokens.device.model",
    "webPushTokens.sub.endpoint": "user.web_push_subscriptions.endpoint",
    "webPushTokens.sub.keys.p256dh": "user.web_push_subscriptions.keys.p256dh",
    "webPushTokens.sub.keys.auth": "user.web_push_subscriptions.keys.auth",
}

_MAILS, _APNS, _FCM = "delivery/test_mails.py::test_", "delivery/test_apns.py::test_", "delivery/test_fcm.py::test_"
_WEB_PUSH, _DEVICES = "delivery/test_web_push.py::test_", "delivery/test_devices.py::test_"
_TWILIO, _SEEDS = "delivery/test_twilio.py::test_", "services/test_seeds.py::test_"
_APN_OPTION, _ANDROID_OPTION = f"{_APNS}an_option_arrives", f"{_FCM}each_android_option_arrives"
_EACH_DEVICE = f"{_DEVICES}each_device_of_a_profile_is_reached"
# What no provider takes is stored as it was given.
_IDENTIFIED = f"{_SEEDS}identify_user"

# The beginnings of the names of tests, from Send through the channel to the provider's server.
ARRIVES = {
    "notification_id": (f"{_MAILS}a_mail_of_a_template", f"{_FCM}a_push_arrives_whole"),
    "user.id": (_EACH_DEVICE,),
    "user.email": (f"{_MAILS}a_mail_of_a_template",),
    "user.number": (
        f"{_TWILIO}a_text_and_a_call_arrive",
        *(f"{_TWILIO}a_number_arrives_in_e164[{number}]" for number in ("(415) 555-1212", "4155551212")),
    ),
    "merge_tags": (f"{_MAILS}a_mail_of_a_template", f"{_TWILIO}a_text_and_a_call_arrive"),
    "replace": (f"{_MAILS}replacements",),
    "sub_notification_id": (f"{_MAILS}the_link_of_a_part_ends_mails_about_it",),
    "template_id": (f"{_MAILS}the_template_that_a_send_names",),
    "force_channels": (f"{_TWILIO}a_number_arrives_in_e164",),
    "options.email.reply_to_addresses": (f"{_MAILS}addresses_of_the_options[reply_to_addresses-Reply-To-",),
    "options.email.cc_addresses": (f"{_MAILS}addresses_of_the_options[cc_addresses-Cc-",),
    "options.email.bcc_addresses": (f"{_MAILS}addresses_of_the_options[bcc_addresses-",),
    "options.email.from_name": (f"{_MAILS}the_sender_of_the_options",),
    "options.email.from_address": (f"{_MAILS}the_sender_of_the_options",),
    "options.email.attachments.filename": (f"{_MAILS}attachments_arrive",),
    "options.email.attachments.url": (
        f"{_MAILS}attachments_arrive",
        "delivery/test_attachments.py::test_a_url_may_die",
    ),
    "options.email.attachments.content": (f"{_MAILS}attachments_arrive",),
    "options.email.attachments.content_type": (f"{_MAILS}attachments_arrive",),
    "options.apn.expire_time": (f"{_APN_OPTION}[expire_time=2", f"{_APN_OPTION}[expire_time=1970"),
    "options.apn.priority": tuple(f"{_APN_OPTION}[priority={priority}-" for priority in (10, 5, 1)),
    "options.apn.collapse_id": (f"{_APN_OPTION}[collapse_id={'c' * 64}-",),
    "options.apn.thread_id": (f"{_APN_OPTION}[thread_id=",),
    "options.apn.badge": (f"{_APN_OPTION}[badge=7-", f"{_APN_OPTION}[badge=0-"),
    "options.apn.sound": (f"{_APN_OPTION}[sound=",),
    "options.apn.content_available": (f"{_APN_OPTION}[content_available=",),
    "options.fcm.android.collapse_key": (f"{_ANDROID_OPTION}[collapse_key]",),
    "options.fcm.android.priority": tuple(f"{_ANDROID_OPTION}[priority-{name}]" for name in ("normal", "high")),
    "options.fcm.android.ttl": (f"{_ANDROID_OPTION}[ttl]", f"{_ANDROID_OPTION}[ttl-now-or-never]"),
    "options.fcm.android.restricted_package_name": (f"{_ANDROID_OPTION}[restricted_package_name]",),
    "options.web_push.ttl": (f"{_WEB_PUSH}every_option_arrives",),
    "options.web_push.urgency": tuple(
        f"{_WEB_PUSH}every_option_arrives[{name}]" for name in ("very-low", "low", "normal", "high")
    ),
    "options.web_push.topic": (f"{_WEB_PUSH}every_option_arrives",),
    "user.push_tokens.provider": (_EACH_DEVICE,),
    "user.push_tokens.token": (_EACH_DEVICE,),
    "user.push_tokens.sandbox": (f"{_APNS}each_device_has_its_app_and_its_environment",),
    "user.push_tokens.device.app_id": (_EACH_DEVICE, f"{_APNS}each_device_has_its_app_and_its_environment"),
    "user.push_tokens.device.ad_id": (_IDENTIFIED,),
    "user.push_tokens.device.device_id": (_IDENTIFIED,),
    "user.push_tokens.device.platform": (_IDENTIFIED,),
    "user.push_tokens.device.manufacturer": (_IDENTIFIED,),
    "user.push_tokens.device.model": (_IDENTIFIED,),
    "user.web_push_subscriptions.endpoint": (_EACH_DEVICE,),
    "user.web_push_subscriptions.keys.p256dh": (_EACH_DEVICE,),
    "user.web_push_subscriptions.keys.auth": (_EACH_DEVICE,),
    "user.web_push_subscriptions.worker": (
        "delivery/test_web_push.py::test_notificationapis_worker_is_pushed_what_it_reads",
    ),
}


def test_every_row_of_the_seeds_is_a_field_that_arrives() -> None:
    """What the seeds have is in the contract under its name there, and some test sees it arrive."""
    assert sorted(set(SEEDS.values()) - set(ARRIVES)) == []
    for field in SEEDS.values():
        message: Descriptor | None = sender_pb2.SendRequest.DESCRIPTOR
        for name in field.split("."):
            assert message, field
            message = message.fields_by_name[name].message_type


def test_no_option_of_the_contract_is_forgotten() -> None:
    """Every field of the options, of a device and of a browser has its test: one that is added needs one."""
    fields = {
        *_leaves(send_options_pb2.SendOptions.DESCRIPTOR, "options"),
        *_leaves(user_pb2.PushToken.DESCRIPTOR, "user.push_tokens"),
        *_leaves(user_pb2.WebPushSubscription.DESCRIPTOR, "user.web_push_subscriptions"),
    }
    # The server's to say.
    fields -= {f"user.{name}.register_time" for name in ("push_tokens", "web_push_subscriptions")}

    assert fields == {name for name in ARRIVES if name.startswith(("options.", "user.push", "user.web"))}


def test_the_tests_are_there() -> None:
    """Pytest finds each of them, with the parameters that are meant."""
    files = sorted({name.partition("::")[0] for names in ARRIVES.values() for name in names})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*command, *(f"tests/contract/{file}" for file in files)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    collected = tuple(found.stdout.splitlines())

    wanted = {f"tests/contract/{name}" for names in ARRIVES.values() for name in names}
    assert [name for name in sorted(wanted) if not any(line.startswith(name) for line in collected)] == []


def _leaves(message: Descriptor, path: str) -> Iterator[str]:
    for field in message.fields:
        inner = field.message_type
        if inner and not inner.full_name.startswith("google.protobuf."):
            yield from _leaves(inner, f"{path}.{field.name}")
        else:
            yield f"{path}.{field.name}"
