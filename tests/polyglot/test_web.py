"""The gateway's modules for browsers, as Node runs them and as TypeScript reads them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import ROOT
from tests.e2e.readme import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)

WEB = ROOT / "gateway" / "web"
TYPESCRIPT = "typescript@7.0.2"  # each version finds other errors
WS = "ws@8.23.0"  # the WebSocket that Node 20 has none of
# Written before the client; they go with the page that they are for.
UNTYPED = {"demo.js", "inbox.js", "list.js"}
OPTIONS = (
    *("--strict", "--allowJs", "--checkJs", "--noEmit"),
    *("--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"),
    *("--lib", "es2022,dom,dom.iterable", "--types", ""),
    "--skipLibCheck",  # the declarations in vendor/ name a package of types that only they need
)


async def test_the_modules_in_node(tmp_path: Path) -> None:
    """The store, the wait, the tokens, the storage and the client do what their tests say."""
    # The tests see the modules where they see them here, and ws beside them: Node looks for it from the real path up.
    tests = tmp_path / "tests" / "polyglot" / "node"
    shutil.copytree(ROOT / "tests" / "polyglot" / "node", tests)
    shutil.copytree(WEB, tmp_path / "gateway" / "web")
    await install(tmp_path, WS)

    await run("node", "--test", *map(str, sorted(tests.glob("*.test.mjs"))), cwd=tmp_path)


async def test_the_types(tmp_path: Path) -> None:
    """What the comments say about types holds, strictly."""
    await install(tmp_path, TYPESCRIPT)
    modules = [str(path) for path in sorted(WEB.glob("*.js")) if path.name not in UNTYPED]
    assert str(WEB / "carillon.js") in modules

    await run(str(tmp_path / "node_modules" / ".bin" / "tsc"), *OPTIONS, *modules)


async def install(folder: Path, package: str) -> None:
    """Installs one package of npm's."""
    await run("npm", "install", package, "--no-audit", "--no-fund", cwd=folder)
