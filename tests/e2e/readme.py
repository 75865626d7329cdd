"""What a README shows, so that tests can do it: its fenced blocks, and a Carillon to run them on.

A block with ``<!-- test: KIND -->`` on the line before it is an example; the next one with ``<!-- output -->`` is what
it prints.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sysconfig
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carillon.v1 import sender_pb2
from services.dev import CLIENT_ID, CLIENT_SECRET, SAMPLE_USER_ID
from services.kernel.clock import utc_now
from services.kernel.tokens import check_times, read_token, signature_matches
from tests.e2e.processes import ROOT, free_port, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

README = ROOT / "README.md"
PROTOS_README = ROOT / "protos" / "README.md"

KINDS = ("make run", "quick start", "grpcurl", "python", "python token", "browser", "element", "carillon.js", "doctor")
POLYGLOT_KINDS = ("grpcurl", "node", "carillon.js in node", "go", "node stubs", "node token", "go stubs")
CONFORMANCE_KINDS = ("notificationapi node", "notificationapi python")
ALL_KINDS = KINDS + POLYGLOT_KINDS + CONFORMANCE_KINDS

_COMMAND_S = 300.0
# The ports that the README shows, by their settings; MongoDB's is any that was free.
_PORTS = {"50051": "grpc_port", "8080": "http_port", "8081": "ws_port", "40495": "mongod_port"}
_BLOCK = re.compile(r"^(?:<!-- (?P<marker>.+) -->\n)?```(?P<language>\w*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
_VARIES = {
    "ID": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "REV": re.compile(r"[0-9a-f]{16}"),
    "TIME": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
}


@dataclass(frozen=True)
class Block:
    """A fenced block, and the marker before it, if it has one."""

    marker: str
    language: str
    text: str


@dataclass(frozen=True)
class Example:
    """What to run, and what it prints."""

    kind: str
    text: str
    output: Block | None

    @property
    def shown(self) -> Any:
        """What it prints, ready to be compared with what `read` gives."""
        return self.read(self.output.text) if self.output else None

    def read(self, printed: str) -> Any:
        """Reads what was printed; of JSON the values, with names for the ids, revisions and times in it."""
        is_json = self.output is not None and self.output.language == "json"
        return _mask(json.loads(printed)) if is_json else printed.strip()


def read_blocks(path: Path) -> list[Block]:
    """Reads every fenced block of a file."""
    text = path.read_text()
    blocks = [Block(match["marker"] or "", match["language"], match["text"]) for match in _BLOCK.finditer(text)]
    if text.count("```") != 2 * len(blocks):
        raise ValueError(f"{path} has a fence that is not at the start of a line")
    return blocks


def read_examples(path: Path, kinds: tuple[str, ...] = ALL_KINDS) -> list[Example]:
    """Reads the examples of a file that are of these kinds, in its order."""
    blocks = [block for block in read_blocks(path) if block.marker]
    examples: list[Example] = []
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        kind = _kind(block)
        if kind in kinds:
            has_output = following is not None and not _kind(following)
            examples.append(Example(kind, block.text, following if has_output else None))
    return examples


def _kind(block: Block) -> str:
    """Gives the kind of an example, or nothing for an output."""
    word, _, kind = block.marker.partition(": ")
    if word == "output":
        return ""

    if word != "test" or kind not in ALL_KINDS:
        raise ValueError(f"no such marker: {block.marker}")
    return kind


def _mask(value: Any) -> Any:
    match value:
        case dict():
            return {key: _mask(inner) for key, inner in value.items()}
        case list():
            return [_mask(inner) for inner in value]
        case str():
            return next((name for name, shape in _VARIES.items() if shape.fullmatch(value)), value)
        case _:
            return value


def new_order() -> sender_pb2.SendRequest:
    """Makes the send of which the examples are told."""
    request = sender_pb2.SendRequest(notification_id="new_order")
    request.user.id = SAMPLE_USER_ID
    request.merge_tags.update({"item": "Krabby Patty Burger"})
    return request


@dataclass(frozen=True)
class Dev:
    """A running `carillon dev`, on other ports than the README's."""

    ports: dict[str, int]
    output: str

    def here(self, text: str) -> str:
        """Puts the ports of this one into what the README says."""
        for shown, name in _PORTS.items():
            text = text.replace(f":{shown}", f":{self.ports[name]}")
        return text

    def in_readme(self, text: str) -> str:
        """Puts the README's ports into what this one says."""
        for shown, name in _PORTS.items():
            text = text.replace(f":{self.ports[name]}", f":{shown}")
        return text


@asynccontextmanager
async def run_dev(data_dir: Path) -> AsyncIterator[Dev]:
    """Runs `carillon dev` until the block ends; ready when entered."""
    ports = {name: free_port() for name in _PORTS.values()}
    async with start("dev", data_dir=data_dir, log_level="warning", **ports) as child:
        await child.says("a user")
        yield Dev(ports, child.output)


async def run(*command: str, cwd: Path = ROOT, path: tuple[Path, ...] = (), **environment: str) -> str:
    """Runs a command, which must succeed, and gives what it printed.

    Args:
        command: The command and its arguments.
        cwd: Where it runs.
        path: Goes before PATH, which has the tools of this Python's environment first.
        environment: Further variables.
    """
    folders = [*map(str, path), sysconfig.get_path("scripts"), os.environ["PATH"]]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=os.environ | {"PATH": os.pathsep.join(folders)} | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_COMMAND_S):
            stdout, stderr = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise

    if process.returncode:
        raise ChildProcessError(f"{' '.join(command)}\n{stdout.decode()}{stderr.decode()}")
    return stdout.decode()


def assert_is_token(user_token: str) -> None:
    """Checks a token for the sample user that was made under the secret of `carillon dev`."""
    token = read_token(user_token)
    check_times(token, utc_now())
    assert (token.client_id, token.user_id) == (CLIENT_ID, SAMPLE_USER_ID)
    assert signature_matches(user_token, [CLIENT_SECRET])
