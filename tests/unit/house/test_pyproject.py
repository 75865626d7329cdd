import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "pyproject.toml").read_text()
PROJECT: dict[str, Any] = tomllib.loads(TEXT)["project"]
RUNTIME = {requirement.name: requirement for requirement in map(Requirement, PROJECT["dependencies"])}
DEV = {requirement.name: requirement for requirement in map(Requirement, PROJECT["optional-dependencies"]["dev"])}


@pytest.mark.parametrize("name", [*RUNTIME, *DEV])
def test_a_dependency_says_what_it_is_for(name: str) -> None:
    """Every dependency has a comment on its line."""
    assert re.search(rf'^  "{re.escape(name)}[=><].*",\s+# \S', TEXT, re.MULTILINE)


@pytest.mark.parametrize("name", DEV)
def test_a_tool_is_pinned(name: str) -> None:
    """Every development tool is pinned to one version."""
    assert [specifier.operator for specifier in DEV[name].specifier] == ["=="]


def test_the_runtime_is_never_older_than_the_generator() -> None:
    """Generated code refuses an older grpcio, so none is allowed to be installed."""
    (floor,) = RUNTIME["grpcio"].specifier
    (pin,) = DEV["grpcio-tools"].specifier

    assert floor.operator == ">="
    assert Version(floor.version) >= Version(pin.version)


def test_the_committed_code_is_of_the_pinned_generator() -> None:
    """The generated code in the tree was made by the generator that is pinned."""
    (pin,) = DEV["grpcio-tools"].specifier
    generated = (ROOT / "protos/gen/carillon/v1/sender_pb2_grpc.py").read_text()

    assert f"GRPC_GENERATED_VERSION = '{pin.version}'" in generated
