"""What every process begins with: its settings, its event loop, and one line for a person where it cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import uvloop
from pydantic import ValidationError
from pydantic_settings import BaseSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine

S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T")


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one line that says what to do."""


def read_settings(kind: type[S]) -> S:
    """Reads settings from the environment.

    Raises:
        SettingsError: If one is wrong; names the first.
    """
    try:
        return kind()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        variable = "__".join(str(part).upper() for part in problem["loc"])
        raise SettingsError(f"CARILLON_{variable}: {problem['msg'].removeprefix('Value error, ')}") from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a process to its end; what ended a task group comes out of it as what it was, where it was one thing."""
    try:
        return uvloop.run(work)
    except BaseExceptionGroup as group:
        causes = _leaves(group)
        if len(causes) == 1:
            raise causes[0] from group
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for inner in group.exceptions
        for leaf in (_leaves(inner) if isinstance(inner, BaseExceptionGroup) else [inner])
    ]
