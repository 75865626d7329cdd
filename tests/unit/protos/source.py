"""The contract as its source says it: descriptors with their comments, which the generated code no longer has."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROTOS = Path(__file__).parents[3] / "protos"

# Field numbers in descriptor.proto, of which the path of a comment is made.
_FILE_MESSAGES, _FILE_ENUMS, _FILE_SERVICES = 4, 5, 6
_SERVICE_METHODS = 2
_MESSAGE_FIELDS, _MESSAGE_ONEOFS = 2, 8
_ENUM_VALUES = 2


@dataclass(frozen=True, slots=True)
class Component:
    """Anything in a .proto file that has a name and a comment."""

    kind: str
    """One of service, rpc, message, field, oneof, enum, value."""

    parent: str
    """The name of the service, message or enum around it; empty for those themselves."""

    name: str
    """Its own name."""

    comment: str
    """Its leading comment, on one line."""

    def __str__(self) -> str:
        return f"{self.parent}.{self.name}" if self.parent else self.name


def compile_files(output: Path) -> Sequence[FileDescriptorProto]:
    """Compiles the whole contract, comments included; ``output`` is a file to write on the way."""
    sources = sorted((PROTOS / "carillon").rglob("*.proto"))
    options = [f"--proto_path={PROTOS}", "--include_source_info", f"--descriptor_set_out={output}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *map(str, sources)], check=True)
    return FileDescriptorSet.FromString(output.read_bytes()).file


def components(file: FileDescriptorProto) -> Iterator[Component]:
    """Walks everything that can have a comment."""
    comments = {
        tuple(location.path): " ".join(location.leading_comments.split()) for location in file.source_code_info.location
    }
    for i, service in enumerate(file.service):
        yield Component("service", "", service.name, comments.get((_FILE_SERVICES, i), ""))
        for j, method in enumerate(service.method):
            comment = comments.get((_FILE_SERVICES, i, _SERVICE_METHODS, j), "")
            yield Component("rpc", service.name, method.name, comment)
    for i, message in enumerate(file.message_type):
        yield Component("message", "", message.name, comments.get((_FILE_MESSAGES, i), ""))
        for j, field in enumerate(message.field):
            comment = comments.get((_FILE_MESSAGES, i, _MESSAGE_FIELDS, j), "")
            yield Component("field", message.name, field.name, comment)
        for j in _written_oneofs(message):
            comment = comments.get((_FILE_MESSAGES, i, _MESSAGE_ONEOFS, j), "")
            yield Component("oneof", message.name, message.oneof_decl[j].name, comment)
    for i, enum in enumerate(file.enum_type):
        yield Component("enum", "", enum.name, comments.get((_FILE_ENUMS, i), ""))
        for j, value in enumerate(enum.value):
            yield Component("value", enum.name, value.name, comments.get((_FILE_ENUMS, i, _ENUM_VALUES, j), ""))


def _written_oneofs(message: DescriptorProto) -> Iterator[int]:
    """Leaves out those that the compiler makes for ``optional`` fields."""
    made = {field.oneof_index for field in message.field if field.proto3_optional}
    return (j for j in range(len(message.oneof_decl)) if j not in made)
