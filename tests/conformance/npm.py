"""Packages of npm's at the versions of a lock file, beside a copy of the programs that import them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.e2e.readme import run

if TYPE_CHECKING:
    from pathlib import Path


async def install_locked(source: Path, folder: Path) -> None:
    """Copies a folder that has a package-lock.json, and installs what that names, nothing else."""
    shutil.copytree(source, folder)
    await run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
