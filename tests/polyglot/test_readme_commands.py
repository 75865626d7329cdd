"""What the READMEs show in other languages is what happens; with the newest of each package, as for who reads them."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from services.dev import CLIENT_ID, CLIENT_SECRET
from services.kernel.auth import basic_authorization
from tests.contract.services.world import Caller
from tests.e2e.processes import ROOT
from tests.e2e.readme import POLYGLOT_KINDS, PROTOS_README, README, new_order, read_examples, run, run_dev

if TYPE_CHECKING:
    from tests.e2e.readme import Dev

# The first time, packages are downloaded and compiled.
pytestmark = pytest.mark.timeout(600)

GO_BIN = ROOT / ".cache" / "gobin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has the protos and the modules, as the root of the repository has."""
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    (tmp_path / "gateway").symlink_to(ROOT / "gateway")
    return tmp_path


async def test_the_readme(folder: Path, subtests: pytest.Subtests) -> None:
    """From top to bottom, each example prints what the README shows."""
    await install_npm_packages(README.read_text(), folder)
    await generate_go(folder)
    async with run_dev(folder / "data") as dev:
        for example in read_examples(README, POLYGLOT_KINDS):
            with subtests.test(example.kind):
                text = dev.here(example.text)
                match example.kind:
                    case "grpcurl":
                        assert example.read(await run("bash", "-c", text)) == example.shown
                    case "node":
                        assert example.read(await run("node", "-e", text, cwd=folder)) == example.shown
                    case "carillon.js in node":
                        assert await watch_in_node(text, folder, dev) == example.shown
                    case "go":
                        module = folder / "gen" / "carillon"
                        (module / "main.go").write_text(text)
                        assert example.read(await run("go", "run", ".", cwd=module)) == example.shown


async def test_node_reads_the_protos(folder: Path) -> None:
    """The way in which the contract's README loads the files gives a client."""
    await install_npm_packages(PROTOS_README.read_text(), folder)
    [example] = read_examples(PROTOS_README, ("node stubs",))
    script = f"""
        const grpc = require("@grpc/grpc-js");
        const protoLoader = require("@grpc/proto-loader");
        {example.text}
        console.log(carillon.v1.Sender.service.Send.path);
    """

    assert await run("node", "-e", script, cwd=folder) == "/carillon.v1.Sender/Send\n"


async def test_java_compiles(tmp_path: Path) -> None:
    """The Java that the contract generates compiles."""
    await run("mvn", "--batch-mode", "--quiet", "--file", str(ROOT / "tests/polyglot/pom.xml"), "compile", cwd=tmp_path)

    assert (tmp_path / "target/classes/dev/carillon/v1/SenderGrpc.class").exists()


async def install_npm_packages(readme: str, folder: Path) -> None:
    """Runs the `npm install` that a README names."""
    for command in re.findall(r"`(npm install [^`]+)`", readme):
        await run(*command.split(), "--no-audit", "--no-fund", cwd=folder)


async def watch_in_node(program: str, folder: Path, dev: Dev) -> str:
    """Runs a program twice; while it is connected, and before it is started again, it is sent something."""
    (folder / "inbox.mjs").write_text(program)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{dev.ports['grpc_port']}") as channel, asyncio.timeout(60):
        backend = Caller(channel, [basic_authorization(CLIENT_ID, CLIENT_SECRET)])
        process = await asyncio.create_subprocess_exec(
            "node", "inbox.mjs", cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout
            first = await process.stdout.readline()
            await backend.sender.Send(new_order())
            printed, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        await backend.sender.Send(new_order())
        return f"{first.decode()}{printed.decode()}{await run('node', 'inbox.mjs', cwd=folder)}".strip()


async def generate_go(folder: Path) -> None:
    """Runs what the contract's README says about Go; protoc is the one of grpcio-tools."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "protoc").symlink_to(Path(sys.executable).with_name("python-grpc-tools-protoc"))
    [example] = read_examples(PROTOS_README, ("go stubs",))
    await run("bash", "-ec", example.text, cwd=folder, path=(tools, GO_BIN), GOBIN=str(GO_BIN))
