import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
# For each contract, a module and an import that it must not have.
VIOLATIONS = {
    "Inside a service, arrows point inward": ("services/users/model.py", "services.users.store"),
    "A servicer is known to the composition root alone": ("services/kernel/clock.py", "services.users.servicer"),
    "Decisions know neither wire nor store": ("services/sender/plan.py", "carillon.v1.sender_pb2"),
    "The kernel knows no service": ("services/kernel/clock.py", "services.users.servicer"),
    "The session is sans-I/O, the hub only fans out": ("services/live/hub.py", "asyncio"),
    "The gateway shares the kernel and the feed, and nothing else": ("gateway/app.py", "services.settings"),
    "The feed knows no service": ("services/live/feed.py", "services.inbox.model"),
}


def test_a_violation_of_each_contract_is_found(tmp_path: Path) -> None:
    """Import-linter names every contract once a copy of the tree violates them all, so none of them is blind."""
    assert {contract["name"] for contract in CONTRACTS} == set(VIOLATIONS)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("services", "gateway"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    for module, imported in set(VIOLATIONS.values()):
        with (tmp_path / module).open("a") as file:
            file.write(f"\nimport {imported}\n")
    report = _lint_imports(tmp_path)

    assert {name for name in VIOLATIONS if f"{name} BROKEN" in report} == set(VIOLATIONS), report


def _lint_imports(tree: Path) -> str:
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", script, "--no-cache"]
    # The copy is what is linted, not the tree that is installed.
    return subprocess.run(
        command, cwd=tree, env={"PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False
    ).stdout
