from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.conformance.servers.sdk import (
    OLDER_NODE_SDKS,
    install_node_sdks,
    install_python_sdk,
    run_node_sdk,
    run_python_sdk,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conformance.servers.sdk import Sdk
    from tests.e2e.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node_sdks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Node SDKs are installed."""
    folder = tmp_path_factory.mktemp("node") / "sdks"
    await install_node_sdks(folder)
    return folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node(stack: Stack, node_sdks: Path) -> AsyncIterator[Sdk]:
    """The Node SDK, initialised."""
    async with run_node_sdk(stack, node_sdks) as sdk:
        yield sdk


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=OLDER_NODE_SDKS)
async def older_node(stack: Stack, node_sdks: Path, request: pytest.FixtureRequest) -> AsyncIterator[Sdk]:
    """An older Node SDK, initialised."""
    async with run_node_sdk(stack, node_sdks, request.param) as sdk:
        yield sdk


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def python_sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python that has the Python SDK."""
    return await install_python_sdk(tmp_path_factory.mktemp("python") / "sdk")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def python(stack: Stack, python_sdk: Path) -> AsyncIterator[Sdk]:
    """The Python SDK, initialised."""
    async with run_python_sdk(stack, python_sdk) as sdk:
        yield sdk


@pytest.fixture
def user_id(request: pytest.FixtureRequest) -> str:
    """A user of the test's own."""
    # An id that needs no encoding in a path, as the SDKs put most of them there as they are.
    return re.sub(r"\W+", "-", f"{request.node.path.stem}-{request.node.name}")[:100]
