"""What the README shows to who comes from NotificationAPI is what its published SDKs print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.readme import CONFORMANCE_KINDS, README, read_examples, run, run_dev

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.asyncio(loop_scope="session")
async def test_the_readme(node_sdks: Path, python_sdk: Path, tmp_path: Path, subtests: pytest.Subtests) -> None:
    """Each example, against `carillon dev`, prints what stands below it."""
    async with run_dev(tmp_path) as dev:
        for example in read_examples(README, CONFORMANCE_KINDS):
            with subtests.test(example.kind):
                text = dev.here(example.text)
                match example.kind:
                    case "notificationapi node":
                        assert example.read(await run("node", "-e", text, cwd=node_sdks)) == example.shown
                    case "notificationapi python":
                        assert example.read(await run(str(python_sdk), "-c", text)) == example.shown
