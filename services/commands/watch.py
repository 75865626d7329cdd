"""`carillon watch`: a user's inbox as a browser would have it, one line a change."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from services.commands.calls import CommandError, call, console
from services.kernel import clock
from services.kernel.auth import user_hash
from services.kernel.process import read_settings
from services.kernel.server import stop_on_signals
from services.kernel.terminal import printable
from services.settings import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services.kernel.clock import Clock

# The gateway's table of close codes: from here on a client stays away.
_STAY_AWAY_FROM = 4500
_MAX_BACKOFF_S = 10.0
_KINDS = {"created": "green", "updated": "cyan", "retracted": "yellow", "error": "red"}


def watch(
    user_id: Annotated[str, typer.Argument(metavar="USER", show_default=False)],
    ws_url: Annotated[str | None, typer.Option(help="The gateway's socket, in place of CARILLON_WS_URL.")] = None,
) -> None:
    """Show a user's inbox live, as it changes, until Ctrl-C."""
    settings = read_settings(ClientSettings)

    async def until_stopped() -> None:
        stop = stop_on_signals()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(_watch(ws_url or settings.ws_url, user_id, settings), name="watch")
            await stop.wait()
            watching.cancel()

    call(until_stopped())


@dataclass(slots=True)
class View:
    """What a person at a browser would see: the badge, and the titles of the items."""

    clock: Clock
    unread_count: int = 0
    cursor: str = ""
    """Where to go on after the connection was lost."""

    _titles: dict[str, str] = field(default_factory=dict)

    def lines(self, frame: Mapping[str, Any]) -> Iterator[Text]:
        """Takes a frame in and gives the lines that tell of it."""
        kind = frame.get("type")
        self.cursor = frame.get("cursor", self.cursor)
        self.unread_count = frame.get("unread_count", self.unread_count + frame.get("unread_change", 0))
        if kind == "welcome":
            yield from self._welcome(frame)
        elif kind == "created":
            item = frame["item"]
            self._titles[item["id"]] = item["title"]
            yield self._line(kind, _describe(item), style=_KINDS[kind])
        elif kind in ("updated", "retracted"):
            for item_id in frame["ids"]:
                if title := frame.get("set", {}).get("title"):
                    self._titles[item_id] = title
                text = ": ".join(filter(None, (self._titles.get(item_id, item_id), _changes(frame))))
                yield self._line(kind, text, style=_KINDS[kind])
        elif kind == "error":
            yield self._line(kind, f"{frame.get('code')}: {frame.get('message')}", style=_KINDS[kind])

    def _welcome(self, frame: Mapping[str, Any]) -> Iterator[Text]:
        is_resumed = frame["resume"] == "full"
        if not is_resumed:
            self._titles.clear()
        yield self._line("welcome", _count(len(frame["items"]), "change" if is_resumed else "item"), style="bold")
        for item in frame["items"]:
            if "retract_time" in item:
                yield Text(f"{'':10}- {printable(self._titles.get(item['id'], item['id']))}")
                continue
            self._titles[item["id"]] = item["title"]
            yield Text(f"{'':10}{'● ' if item['unread'] else '  '}{printable(_describe(item))}")

    def notice(self, text: str) -> Text:
        """Gives the line that tells of the connection."""
        return Text(f"{self._time()}  {printable(text)}", style="dim")

    def _line(self, kind: str, text: str, *, style: str) -> Text:
        line = Text(f"{self._time()}  ")
        line.append(f"{kind:<10}", style=style)
        line.append(printable(text))
        line.append(f"  ({self.unread_count} unread)", style="dim")
        return line

    def _time(self) -> str:
        return f"{self.clock().astimezone():%H:%M:%S}"


async def _watch(ws_url: str, user_id: str, settings: ClientSettings) -> None:
    hello = {
        "type": "hello",
        "client_id": settings.client_id,
        "user_id": user_id,
        "user_hash": user_hash(settings.client_secret.get_secret_value(), user_id),
    }
    view = View(clock.utc_now)
    backoff_s = 0.0
    while True:
        backoff_s = min(backoff_s * 2 or 0.5, _MAX_BACKOFF_S)
        try:
            async with connect(ws_url, subprotocols=[Subprotocol("carillon.v1")], open_timeout=10) as socket:
                resume = {"cursor": view.cursor} if view.cursor else {}
                await socket.send(json.dumps(hello | resume))
                async for data in socket:
                    frame = json.loads(data)
                    backoff_s = 0.0 if frame.get("type") == "welcome" else backoff_s
                    for line in view.lines(frame):
                        console.print(line)
                problem = _closed(socket.close_code, socket.close_reason)
        except InvalidURI:
            raise CommandError(f"CARILLON_WS_URL: '{printable(ws_url)}' is no URL of a socket") from None
        except ConnectionClosed as error:
            problem = _closed(error.rcvd.code if error.rcvd else None, error.rcvd.reason if error.rcvd else None)
        except (OSError, InvalidHandshake, TimeoutError) as error:
            problem = f"{ws_url} does not answer ({error})"
        # Jitter, so that many who watch do not come back in step.
        retry_in_s = random.uniform(backoff_s / 2, backoff_s)
        console.print(view.notice(f"{problem}; again in {retry_in_s:.1f} s"))
        await asyncio.sleep(retry_in_s)


def _closed(code: int | None, reason: str | None) -> str:
    """Says why a connection ended; raises CommandError where coming back would be the same again."""
    said = printable(reason or "the connection was lost")
    if code is not None and code >= _STAY_AWAY_FROM:
        raise CommandError(f"the gateway closed the connection for good: {said} ({code})")
    return f"{said} ({code})" if code else said


def _describe(item: Mapping[str, Any]) -> str:
    about = "/".join(filter(None, (item["notification_id"], item.get("sub_notification_id"))))
    body = item.get("body", "")
    return f"{item['title']}{' - ' if body else ''}{body}  [{about}]"


def _changes(frame: Mapping[str, Any]) -> str:
    """Names the fields that have another value: times by what happened then, the rest as they are now."""
    happened = [
        name.removesuffix("_time") if name.endswith("_time") else f"{name} {json.dumps(value, ensure_ascii=False)}"
        for name, value in frame.get("set", {}).items()
    ]
    return ", ".join(happened + [f"not {name.removesuffix('_time')}" for name in frame.get("unset", ())])


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
