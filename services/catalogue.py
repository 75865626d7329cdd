"""Catalogue files: definitions of notifications as YAML, with the proto's field names and the enums' short names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from google.protobuf import json_format

from carillon.v1 import notifications_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

_EXAMPLE = "notifications: [{id: hello_world, ...}]"


class CatalogueError(Exception):
    """A catalogue file cannot be read; the message is one line that names the place and what to do."""


def load(path: Path) -> list[notifications_pb2.Notification]:
    """Reads the definitions of a file.

    Raises:
        CatalogueError: If it is no file, no YAML, or has a field or a value that a definition does not know.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogueError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None

    notifications = content.get("notifications") if isinstance(content, dict) else None
    if not isinstance(notifications, list) or set(content) != {"notifications"}:
        raise CatalogueError(f"{path}: must have the one key `notifications` with a list, as in `{_EXAMPLE}`")
    return [_definition(path, i, one) for i, one in enumerate(notifications)]


def _definition(path: Path, index: int, value: Any) -> notifications_pb2.Notification:
    notification = notifications_pb2.Notification()
    if not isinstance(value, dict):
        raise CatalogueError(f"{path}: notifications[{index}]: must be a definition, as in `{_EXAMPLE}`")
    try:
        json_format.ParseDict(_expand(value, notification.DESCRIPTOR), notification)
    except json_format.ParseError as error:
        raise CatalogueError(f"{path}: notifications[{index}]: {' '.join(str(error).split())}") from None
    return notification


def _expand(value: Any, descriptor: Descriptor) -> Any:
    """Gives the enums their prefix, wherever they stand."""
    if not isinstance(value, dict):
        return value
    expanded = {}
    for name, inner in value.items():
        field = descriptor.fields_by_name.get(str(name))
        if field is not None:
            items = inner if isinstance(inner, list) else [inner]
            items = [_expand_one(item, field) for item in items]
            inner = items if isinstance(inner, list) else items[0]
        expanded[name] = inner
    return expanded


def _expand_one(item: Any, field: FieldDescriptor) -> Any:
    if field.enum_type and isinstance(item, str | bool):
        return _full_name(item, field.enum_type)
    if field.message_type:
        return _expand(item, field.message_type)
    return item


def _full_name(name: str | bool, enum: EnumDescriptor) -> str:
    # YAML reads a bare OFF as false and a bare ON as true.
    short = name if isinstance(name, str) else "ON" if name else "OFF"
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return short if short.startswith(prefix) else f"{prefix}{short}"
