"""`carillon send`: one notification to one user, from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003 # typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from rich.table import Table
from rich.text import Text

from carillon.v1 import channel_pb2, content_pb2, delivery_pb2, sender_pb2, sender_pb2_grpc, user_pb2
from services.commands.calls import CommandError, backend, call, console
from services.kernel.process import read_settings
from services.kernel.terminal import printable
from services.settings import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLES = {
    delivery_pb2.DELIVERY_STATE_SKIPPED: "yellow",
    delivery_pb2.DELIVERY_STATE_FAILED: "red",
    delivery_pb2.DELIVERY_STATE_CANCELLED: "yellow",
}


def send(
    notification_id: Annotated[str, typer.Argument(metavar="NOTIFICATION", show_default=False)],
    user_id: Annotated[str, typer.Argument(metavar="USER", show_default=False)],
    merge_tag: Annotated[
        list[str] | None, typer.Option("--merge-tag", "-m", metavar="KEY=VALUE", help="A text that templates read.")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Merge tags as a JSON object, with any values; - is stdin."),
    ] = None,
    content_file: Annotated[
        Path | None,
        typer.Option(
            "--content",
            metavar="FILE",
            help="Content by channel as a JSON object, which stands in for the templates'; - is stdin.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Send it then, in the user's timezone: 2026-03-29T09:00, or 09:00 for the next one.",
        ),
    ] = None,
) -> None:
    """Send a notification and tell what becomes of it on each channel; exit code 1 if nothing reaches the user."""
    request = sender_pb2.SendRequest(
        notification_id=notification_id,
        user=user_pb2.User(id=user_id),
        merge_tags=merge_tags(merge_tag or [], json_file),
    )
    if content_file is not None:
        request.content.CopyFrom(content(content_file))
    if at is not None:
        request.schedule_local_time = at
    settings = read_settings(ClientSettings)

    async def run() -> sender_pb2.SendResponse:
        async with backend(settings) as (channel, options):
            stub: Any = sender_pb2_grpc.SenderStub(channel)
            answer: sender_pb2.SendResponse = await stub.Send(request, **options)
            return answer

    answer = call(run())
    console.print(f"{printable(notification_id)} to {printable(user_id)}: {answer.tracking_id}\n", markup=False)
    console.print(delivery_table(answer.deliveries))
    for warning in answer.warnings:
        code = delivery_pb2.SendWarningCode.Name(warning.code).removeprefix("SEND_WARNING_CODE_")
        console.print(Text(f"\n{code}: {printable(warning.text)}", style="yellow"))
    if all(one.state == delivery_pb2.DELIVERY_STATE_SKIPPED for one in answer.deliveries):
        raise typer.Exit(1)


def merge_tags(pairs: Sequence[str], file: Path | None) -> Struct:
    """Reads merge tags: those of the file, and those of the pairs over them.

    A pair's value is a text whatever it looks like, for ``orderId=007`` is one too.

    Raises:
        CommandError: If a pair has no key, or the file has no JSON object.
    """
    values: dict[str, Any] = _read_object(file) if file else {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise CommandError(f"a merge tag is KEY=VALUE, not '{printable(pair)}'")
        values[key] = value
    try:
        return json_format.ParseDict(values, Struct())
    except (json_format.ParseError, ValueError):
        raise CommandError("merge tags must be valid Unicode text, numbers, lists and objects") from None


def content(file: Path) -> content_pb2.ContentByChannel:
    """Reads content by channel, with the names of the contract.

    Raises:
        CommandError: If the file has no JSON object, or something else than content.
    """
    try:
        return json_format.ParseDict(_read_object(file), content_pb2.ContentByChannel())
    except (json_format.ParseError, ValueError) as error:
        raise CommandError(f"{printable(str(file))}: is no content: {printable(str(error))}") from None


def delivery_table(deliveries: Sequence[delivery_pb2.Delivery]) -> Table:
    """Makes the table of what became of each channel."""
    table = Table("CHANNEL", "OUTCOME", "WHY", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for one in deliveries:
        when = f"{one.next_time.ToDatetime():%Y-%m-%d %H:%M} UTC" if one.HasField("next_time") else ""
        reason = delivery_pb2.SkipReason.Name(one.reason).removeprefix("SKIP_REASON_") if one.reason else ""
        table.add_row(
            channel_pb2.Channel.Name(one.channel).removeprefix("CHANNEL_"),
            Text(
                delivery_pb2.DeliveryState.Name(one.state).removeprefix("DELIVERY_STATE_"),
                style=_STYLES.get(one.state, "green"),
            ),
            Text(printable(": ".join(part for part in (reason, one.detail, when) if part))),
        )
    return table


def _read_object(file: Path) -> dict[str, Any]:
    name = printable(str(file))
    try:
        values = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{name}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError):
        raise CommandError(f"{name}: is no JSON") from None
    if not isinstance(values, dict):
        raise CommandError(f"{name}: must be a JSON object, as in " + '{"item": "Krabby Patty Burger"}')
    return values
