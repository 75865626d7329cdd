from __future__ import annotations

import pytest

from gateway.http.notificationapi.spelling import Spelling, camel

OLD = Spelling(type="notificationId", to="user", parameters="mergeTags", filenames=("fileName", "name"))
NEW = Spelling(user_fields={"email": "user"})


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("notification_id", "notificationId", "type"),
        ("notification.id", "notificationId", "type"),
        ("request.notification_id", "notificationId", "type"),
        ("user", "user", "to"),
        ("user.id", "user.id", "to.id"),
        ("user.email", "user.email", "user.email"),
        ("user.push_tokens[3].provider", "user.pushTokens[3].type", "to.pushTokens[3].type"),
        ("user.push_tokens[3].device.app_id", "user.pushTokens[3].device.app_id", "to.pushTokens[3].device.app_id"),
        ("user.push_tokens", "user.pushTokens", "to.pushTokens"),
        ("user.web_push_subscriptions[0]", "user.webPushTokens[0].sub", "to.webPushTokens[0].sub"),
        (
            "user.web_push_subscriptions[0].keys.auth",
            "user.webPushTokens[0].sub.keys.auth",
            "to.webPushTokens[0].sub.keys.auth",
        ),
        ("merge_tags.my_key.their_key[0]", "mergeTags.my_key.their_key[0]", "parameters.my_key.their_key[0]"),
        ("replace.my_key", "replace.my_key", "replace.my_key"),
        ("schedule_time", "schedule", "schedule"),
        ("force_channels[1]", "forceChannels[1]", "forceChannels[1]"),
        ("sub_notification_id", "subNotificationId", "subNotificationId"),
        ("request_id", "Idempotency-Key", "Idempotency-Key"),
        ("options.email.cc_addresses[0]", "options.email.ccAddresses[0]", "options.email.ccAddresses[0]"),
        (
            "options.email.attachments[1].filename",
            "options.email.attachments[1].name",
            "options.email.attachments[1].filename",
        ),
        (
            "options.email.attachments[0].content_type",
            "options.email.attachments[0].contentType",
            "options.email.attachments[0].contentType",
        ),
        ("options.apn.expire_time", "options.apn.expiry", "options.apn.expiry"),
        ("options.fcm.android.ttl", "options.fcm.android.ttl", "options.fcm.android.ttl"),
        ("content.email.from_address", "email.senderEmail", "email.senderEmail"),
        ("content.email.preview_text", "email.previewText", "email.previewText"),
        ("content.inapp.image_url", "inapp.image", "inapp.image"),
        ("content.sms.text", "sms.message", "sms.message"),
        ("content.push.body", "mobile_push.message", "mobile_push.message"),
        ("content.web_push.icon_url", "web_push.icon", "web_push.icon"),
        ("content.push", "mobile_push", "mobile_push"),
        ("", "", ""),
    ],
)
def test_a_field_is_named_as_the_caller_wrote_it(path: str, old: str, new: str) -> None:
    """Our path gives theirs: with the old names, with the new ones, and for a field that stands elsewhere."""
    assert OLD.name(path) == old
    assert NEW.name(path) == new


def test_words_are_joined_as_they_join_them() -> None:
    """An underscore makes the next letter a capital; places stay."""
    assert camel("preferences[0].sub_notification_id") == "preferences[0].subNotificationId"
