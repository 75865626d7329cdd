"""The four providers of the run, on loopback: what each has taken, and how often it lost its answer."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carillon.v1 import channel_pb2, content_pb2, notifications_pb2, user_pb2
from tests.providers.apns import ACCEPTED, Apns
from tests.providers.authority import Authority
from tests.providers.smtp import CUT, SmtpServer
from tests.providers.twilio import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, run_twilio
from tests.providers.web_push import serve_push_service

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.providers.apns import Push as ApnsPush
    from tests.providers.apns import Reply as ApnsReply
    from tests.providers.smtp import ReceivedMail
    from tests.providers.twilio import TwilioServer
    from tests.providers.web_push import Browser, PushService

NOTIFICATION = "numbered"
EMAIL, SMS = channel_pb2.CHANNEL_EMAIL, channel_pb2.CHANNEL_SMS
PUSH, WEB_PUSH = channel_pb2.CHANNEL_PUSH, channel_pb2.CHANNEL_WEB_PUSH
CHANNELS = (EMAIL, SMS, PUSH, WEB_PUSH)

# Of a hundred mails: refused for now, and taken without a word.
_REFUSED, _UNANSWERED = 15, 2
_TEXT = "Number {{ number }}."
_NUMBER = re.compile(r"Number (\d+)\.")


def definition() -> notifications_pb2.Notification:
    """Makes the definition whose every channel says which message it is."""
    contents = (
        content_pb2.Content(email=content_pb2.EmailContent(subject=_TEXT, text=_TEXT)),
        content_pb2.Content(sms=content_pb2.SmsContent(text=_TEXT)),
        content_pb2.Content(push=content_pb2.PushContent(title=_TEXT)),
        content_pb2.Content(web_push=content_pb2.WebPushContent(title=_TEXT)),
    )
    return notifications_pb2.Notification(
        id=NOTIFICATION,
        channels=[notifications_pb2.ChannelSettings(channel=channel) for channel in CHANNELS],
        templates=[notifications_pb2.Template(content=content) for content in contents],
    )


@dataclass
class Carriers:
    """All of them."""

    smtp: SmtpServer
    twilio: TwilioServer
    apns: Apns
    web_push: PushService
    ca_file: Path
    random: random.Random
    unanswered: int = 0
    """How many mails were taken and never answered."""

    refused: int = 0
    """How many were refused for now."""

    mails: Counter[int] = field(default_factory=Counter)
    pushes: Counter[int] = field(default_factory=Counter)
    browsers: list[Browser] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.smtp.reply = self._answer_mail
        self.apns.answer = self._answer_push
        self.apns.keeps_pushes = False

    @property
    def settings(self) -> Mapping[str, object]:
        """The settings of a worker that uses them."""
        apns = self.apns.settings()
        proxy = apns.proxy_url.get_secret_value() if apns.proxy_url else ""
        return {
            "smtp__url": f"smtp://127.0.0.1:{self.smtp.port}",
            "smtp__from_address": "noreply@example.com",
            "twilio__account_sid": ACCOUNT_SID,
            "twilio__auth_token": AUTH_TOKEN,
            "twilio__from_number": FROM_NUMBER,
            "twilio__api_url": self.twilio.url,
            "apns__key_file": apns.key_file,
            "apns__key_id": apns.key_id,
            "apns__team_id": apns.team_id,
            "apns__topic": apns.topic,
            "apns__proxy_url": proxy,
            "apns__ca_file": apns.ca_file,
            "private_networks": "true",
        }

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes the worker trust the push service."""
        return {"SSL_CERT_FILE": str(self.ca_file)}

    def user(self, number: int) -> user_pb2.User:
        """Makes one of the users, whom all four channels reach."""
        while len(self.browsers) <= number:
            self.browsers.append(self.web_push.browser(f"user-{len(self.browsers)}"))
        token = user_pb2.PushToken(provider=user_pb2.PUSH_PROVIDER_APN, token=f"{number + 1:064x}")
        return user_pb2.User(
            id=f"user-{number}",
            email=f"user-{number}@example.com",
            number="+15005550006",
            push_tokens=[token],
            web_push_subscriptions=[self.browsers[number].subscription],
        )

    def taken(self) -> dict[int, Counter[int]]:
        """Gives how often each provider has taken each message, by channel and number."""
        return {
            EMAIL: self.mails,
            SMS: Counter(_number(form["Body"][0]) for _, form in self.twilio.taken),
            PUSH: self.pushes,
            WEB_PUSH: Counter(_number(push.payload["title"]) for push in self.web_push.pushes),
        }

    def _answer_mail(self, mail: ReceivedMail) -> str:
        chance = self.random.randrange(100)
        if chance < _REFUSED:
            self.refused += 1
            return "451 4.3.0 Try again later"
        self.mails[_number(mail.header("Subject"))] += 1
        if chance < _REFUSED + _UNANSWERED:
            self.unanswered += 1
            return CUT
        return ""

    def _answer_push(self, push: ApnsPush) -> ApnsReply:
        self.pushes[_number(push.payload["aps"]["alert"]["title"])] += 1
        return ACCEPTED


@asynccontextmanager
async def run_carriers(directory: Path, chance: random.Random) -> AsyncIterator[Carriers]:
    """Runs all four until the block ends."""
    async with AsyncExitStack() as entered:
        authority = Authority(directory)
        smtp = await entered.enter_async_context(SmtpServer().run())
        twilio = await entered.enter_async_context(run_twilio())
        apns_directory = directory / "apns"
        apns_directory.mkdir()
        apns = await entered.enter_async_context(Apns(apns_directory).serve())
        context = authority.server_context("localhost", alpn="http/1.1")
        web_push = await entered.enter_async_context(serve_push_service(context))
        yield Carriers(smtp, twilio, apns, web_push, authority.ca_file, chance)


def _number(text: str) -> int:
    found = _NUMBER.search(text)
    assert found, text
    return int(found[1])
