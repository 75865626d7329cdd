import subprocess
from pathlib import Path
from shutil import which

import pytest

BOOTSTRAP = Path(__file__).parents[3] / ".ci" / "bootstrap"


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with the shell, and with a Python that is too old and loads no library."""
    for name in ("bash", "env", "uname"):
        target = which(name)
        assert target is not None
        (tmp_path / name).symlink_to(target)
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["python"], ["Python 3.11"]),
        (["packages", "libcurl4", "chromium"], ["libcurl4", "chromium"]),
        (["chromium"], ["chromium", "CARILLON_CHROMIUM"]),
        (["tools", "go", "uname", "node"], ["go", "node"]),
    ],
)
def test_what_is_missing_is_named_in_one_line(bare_path: Path, arguments: list[str], named: list[str]) -> None:
    """On a bare machine each check fails with one line that names all that is missing."""
    result = _bootstrap(bare_path, *arguments)

    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert all(name in line for name in named)
    assert "uname" not in line


def test_the_browser_of_the_environment_comes_first(bare_path: Path) -> None:
    """A browser named in CARILLON_CHROMIUM is taken before any other."""
    for name in ("mine", "chromium"):
        (bare_path / name).write_text("#!/bin/sh\nexit 0\n")
        (bare_path / name).chmod(0o755)

    assert _bootstrap(bare_path, "chromium").stdout == f"{bare_path}/chromium\n"
    assert _bootstrap(bare_path, "chromium", chromium=f"{bare_path}/mine").stdout == f"{bare_path}/mine\n"


def test_a_stub_is_no_browser(bare_path: Path) -> None:
    """A command that cannot say its version, as Ubuntu's stub for the snap cannot, is passed over."""
    (bare_path / "chromium-browser").write_text("#!/bin/sh\nexit 10\n")
    (bare_path / "chromium-browser").chmod(0o755)

    assert _bootstrap(bare_path, "chromium").returncode == 1


def _bootstrap(path: Path, *arguments: str, chromium: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "CARILLON_CHROMIUM": chromium, "PLAYWRIGHT_BROWSERS_PATH": str(path / "none")}
    return subprocess.run([BOOTSTRAP, *arguments], env=environment, capture_output=True, text=True, check=False)
