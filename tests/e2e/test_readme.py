"""What the README shows is what happens. What needs other languages is in tests/polyglot."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from playwright.async_api import expect

from carillon.v1 import sender_pb2
from services.dev import CLIENT_ID, CLIENT_SECRET, SAMPLE_USER_ID
from services.kernel.auth import basic_authorization
from tests.contract.services.world import Caller
from tests.e2e.browser import open_page
from tests.e2e.pages import serve_page
from tests.e2e.processes import ROOT, call
from tests.e2e.readme import (
    KINDS,
    PROTOS_README,
    README,
    assert_is_token,
    new_order,
    read_blocks,
    read_examples,
    run,
    run_dev,
)

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.e2e.readme import Dev

# Takes grpcurl's arguments as the README has them, so that the test needs no Go.
GRPCURL = """
grpcurl() {  # -plaintext -H HEADER -d REQUEST ADDRESS METHOD
  buf curl --http2-prior-knowledge --protocol grpc --header "$3" --data "$5" "http://$6/$7"
}
"""

UNTESTED = {
    "make test\n": "it is what runs this",
    "╭─ mail to spongebob@squarepants.com": "test_dev.py awaits the same lines",
    'export CARILLON_MONGODB_URI="mongodb://127.0.0.1:27017/?replicaSet=rs0"': "test_stack.py runs the same commands",
}


@pytest.mark.asyncio(loop_scope="session")
async def test_the_readme(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    """From top to bottom, each example prints what the README shows."""
    monkeypatch.chdir(ROOT)
    async with run_dev(tmp_path) as dev:
        for example in read_examples(README, KINDS):
            with subtests.test(example.kind):
                match example.kind:
                    case "make run":
                        _, _, printed = dev.output.partition("\n\n")
                        assert dev.in_readme(printed).strip() == example.shown
                    case "quick start":
                        assert await type_in(example.text, dev) == example.text
                    case "grpcurl":
                        assert example.read(await call_by_buf(dev.here(example.text))) == example.shown
                    case "python":
                        assert example.read(await run(sys.executable, "-c", dev.here(example.text))) == example.shown
                    case "browser":
                        assert await watch_in_browser(dev.here(example.text), dev, browser) == example.shown
                    case "element":
                        await look_at_the_element(dev.here(example.text), browser)
                    case "carillon.js":
                        logged = await watch_in_browser(dev.here(example.text), dev, browser, lines_of_steps=(3, 2, 1))
                        assert logged == example.shown
                    case "doctor":
                        assert await examine(dev, tmp_path) == example.text


async def examine(dev: Dev, data_dir: Path) -> str:
    """Runs the doctor on the database of `carillon dev`, with a mail server that is not there."""
    result = await call(
        "doctor",
        mongodb_uri=f"mongodb://127.0.0.1:{dev.ports['mongod_port']}/?replicaSet=carillon",
        master_key=(data_dir / "master_key").read_text(),
        smtp__url="smtp://127.0.0.1:9",
        smtp__from_address="noreply@example.com",
        public_url="https://notify.example.com",
    )
    assert result.code == 1, result.stderr
    lines = ["$ .venv/bin/carillon doctor", *map(str.rstrip, result.stdout.splitlines())]
    return "\n".join((*lines, ""))


async def look_at_the_element(html: str, browser: Browser) -> None:
    """Opens a page that has nothing but the element, and its panel: it is live, and nothing is there."""
    async with serve_page(f"<!doctype html>{html}") as address, open_page(browser) as page:
        await page.goto(address)
        await page.locator("carillon-inbox .bell").click()
        await expect(page.get_by_text("all caught up")).to_be_visible()


async def type_in(console: str, dev: Dev) -> str:
    """Runs the commands that a console shows, and gives what it then shows."""
    shown = ""
    for command in re.findall(r"^\$ (.+)$", console, re.MULTILINE):
        program, *arguments = shlex.split(command)
        assert program == ".venv/bin/carillon"
        result = await call(*arguments, services_url=f"grpc://127.0.0.1:{dev.ports['grpc_port']}")
        shown += f"$ {command}\n{result.stdout}{result.stderr}"
    return shown


async def call_by_buf(command: str) -> str:
    """Runs a grpcurl command, and gives the answer with the names of the protos, as grpcurl does."""
    answer = await run("bash", "-c", GRPCURL + command)
    return re.sub(r'"\w+":', lambda name: re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name[0]), answer)


async def watch_in_browser(
    script: str, dev: Dev, browser: Browser, *, lines_of_steps: tuple[int, int, int] = (1, 1, 1)
) -> str:
    """Runs a module in a page of Carillon's, sends and retracts, and gives what the module logged at each step."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    at_first, sent, retracted = lines_of_steps
    async with (
        open_page(browser) as page,
        grpc.aio.insecure_channel(f"127.0.0.1:{dev.ports['grpc_port']}") as channel,
        asyncio.timeout(30),
    ):
        backend = Caller(channel, [basic_authorization(CLIENT_ID, CLIENT_SECRET)])
        page.on("console", lambda message: lines.put_nowait(message.text) if message.type == "log" else None)
        await page.route("**/example.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
        # Any page of the gateway's has its origin and its policy; this one has no script of its own.
        await page.goto(f"http://localhost:{dev.ports['http_port']}/healthz")
        await page.evaluate("() => void import('/example.js')")
        logged = [await lines.get() for _ in range(at_first)]
        await backend.sender.Send(new_order())
        logged += [await lines.get() for _ in range(sent)]
        await backend.sender.Retract(sender_pb2.RetractRequest(notification_id="new_order", user_id=SAMPLE_USER_ID))
        logged += [await lines.get() for _ in range(retracted)]
    return "\n".join(logged)


def test_a_token_as_a_backend_makes_it() -> None:
    """What the contract's README says in Python makes a token that is one."""
    [example] = read_examples(PROTOS_README, ("python token",))
    names: dict[str, Any] = {"client_id": "dev", "client_secret": CLIENT_SECRET, "user_id": SAMPLE_USER_ID}
    exec(f"import hashlib, jwt, time\n{example.text}", names)  # the very text

    assert_is_token(names["user_token"])


@pytest.mark.parametrize("path", [README, PROTOS_README], ids=["root", "protos"])
def test_every_block_is_tested(path: Path) -> None:
    """A fenced block is an example that some test runs, or what one prints, or listed with a reason."""
    unmarked = [block.text for block in read_blocks(path) if not block.marker]

    assert [text for text in unmarked if not text.startswith(tuple(UNTESTED))] == []
    assert len(read_examples(path)) == path.read_text().count("<!-- test: ")
