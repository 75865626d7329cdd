from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.protos.source import Component, compile_files, components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.descriptor_pb2 import FileDescriptorProto


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Sequence[FileDescriptorProto]:
    """Compiles the contract once."""
    return compile_files(tmp_path_factory.mktemp("protos") / "contract.binpb")


@pytest.fixture(scope="session")
def documented(files: Sequence[FileDescriptorProto]) -> Sequence[Component]:
    """Everything in the contract that has a comment."""
    return [component for file in files for component in components(file)]
