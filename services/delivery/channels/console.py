"""The console as a provider: in development it shows what would have been sent, where nothing else is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from services.delivery.markup import plain_text
from services.delivery.model import Answer, target_end
from services.kernel.terminal import printable, printable_lines
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome
from services.users.model import PushToken, WebPushSubscription

if TYPE_CHECKING:
    from rich.console import Console as Terminal
    from rich.console import RenderableType

    from services.delivery.model import Outgoing, Target

_WIDTH = 76
_HEADINGS = {
    Channel.EMAIL: "mail",
    Channel.SMS: "text message",
    Channel.CALL: "call",
    Channel.PUSH: "push",
    Channel.WEB_PUSH: "browser push",
}


class Console:
    """Prints what it is asked to carry, and accepts all of it."""

    name = "console"
    deadline_s = 10.0
    max_in_flight = 1

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Prints one message."""
        self._terminal.print(preview(outgoing), soft_wrap=False)
        return Answer(AttemptOutcome.ACCEPTED, detail="shown on the console: no provider is configured")

    async def check(self) -> None:
        """Does nothing: there is always a console."""


def preview(outgoing: Outgoing) -> RenderableType:
    """Makes what a person sees of a message: the mail as a mail, the rest as what it says and to whom."""
    body = _mail(outgoing) if outgoing.content.channel is Channel.EMAIL else _short(outgoing)
    heading = f"{_HEADINGS[outgoing.content.channel]} to {_name(outgoing.target)}"
    # Text: what users and templates say is no markup of ours.
    return Panel(
        body,
        title=Text(printable(heading)),
        subtitle=Text(f"{outgoing.notification_id} {outgoing.tracking_id}", style="dim"),
        title_align="left",
        subtitle_align="right",
        width=_WIDTH,
    )


def _mail(outgoing: Outgoing) -> RenderableType:
    texts, email = outgoing.content.texts, outgoing.options.email
    head = Table.grid(padding=(0, 2))
    for label, value in (
        ("From", _sender(outgoing)),
        ("To", _name(outgoing.target)),
        ("Cc", ", ".join(email.cc_addresses)),
        ("Bcc", ", ".join(email.bcc_addresses)),
        ("Reply-To", ", ".join(email.reply_to_addresses)),
        ("Subject", texts.get("subject", "")),
        ("Preview", texts.get("preview_text", "")),
        ("Attached", ", ".join(f"{file.filename} ({len(file.content)} bytes)" for file in outgoing.files)),
    ):
        if value:
            head.add_row(Text(label, style="dim"), Text(printable(value)))
    body = texts.get("text") or plain_text(texts.get("html", ""))
    return Group(head, Rule(style="dim"), Text(printable_lines(body.strip())))


def _sender(outgoing: Outgoing) -> str:
    texts, email, environment = outgoing.content.texts, outgoing.options.email, outgoing.environment
    name = email.from_name or texts.get("from_name") or environment.name or environment.client_id
    address = email.from_address or texts.get("from_address", "")
    return f"{name} <{address}>" if address else name


def _short(outgoing: Outgoing) -> RenderableType:
    texts = outgoing.content.texts
    lines: list[RenderableType] = []
    if title := texts.get("title"):
        lines.append(Text(printable(title), style="bold"))
    if body := texts.get("body") or texts.get("text"):
        lines.append(Text(printable_lines(body.strip())))
    lines += [Text(printable(texts[name]), style="dim") for name in ("url", "image_url", "icon_url") if name in texts]
    return Padding(Group(*lines), (0, 1))


def _name(target: Target) -> str:
    match target:
        case PushToken(provider=provider):
            device = target.device.get("model") or target.device.get("device_id") or provider
            return f"{device} (token …{target_end(target)})"
        case WebPushSubscription():
            return f"a browser (endpoint …{target_end(target)})"
        case _:
            return target
