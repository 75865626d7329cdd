from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.contract.services.methods import BUILT
from tests.unit.protos.source import PROTOS, Component

if TYPE_CHECKING:
    from collections.abc import Sequence

# Words that say nothing beside a name.
_STOP_WORDS = {
    "a",
    "an",
    "are",
    "be",
    "by",
    "for",
    "has",
    "in",
    "is",
    "it",
    "its",
    "of",
    "on",
    "one",
    "that",
    "the",
    "this",
    "to",
}
_REASONS = re.compile(r"\(([A-Z]+(?:_[A-Z]+)+(?:, [A-Z]+(?:_[A-Z]+)+)*)\)")


def test_every_component_says_something(documented: Sequence[Component]) -> None:
    """Nothing is without a comment, and each is whole sentences."""
    assert [str(component) for component in documented if not component.comment.endswith((".", ")."))] == []


def test_no_comment_repeats_its_name(documented: Sequence[Component]) -> None:
    """A comment has at least one word that its name has not."""
    assert [f"{component}: {component.comment}" for component in documented if _repeats_name(component)] == []


def test_a_repeating_comment_is_found() -> None:
    """The rule above finds what it is for, in any inflection of case and number."""
    assert _repeats_name(Component("field", "GetUserResponse", "user", "The user."))
    assert _repeats_name(Component("field", "Message", "tracking_ids", "The tracking id of the message."))
    assert not _repeats_name(Component("field", "GetUserResponse", "user", "The user as stored now."))


def test_every_enum_may_grow(documented: Sequence[Component]) -> None:
    """Who reads an enum is told to expect values that they do not know."""
    enums = [component for component in documented if component.kind == "enum"]
    assert [str(enum) for enum in enums if "may be added" not in enum.comment] == []


def test_every_rpc_says_what_it_fails_with(documented: Sequence[Component]) -> None:
    """The errors of an RPC stand where its signature does."""
    rpcs = [component for component in documented if component.kind == "rpc"]
    assert [str(rpc) for rpc in rpcs if not re.search(r"\bFails\b", rpc.comment)] == []


def test_every_service_says_who_may_call_it(documented: Sequence[Component]) -> None:
    """A reader learns from the service's comment whether users, backends or both are let in."""
    services = [component for component in documented if component.kind == "service"]
    assert [
        str(service) for service in services if not re.search(r"\bbackends?\b|\busers? may\b", service.comment)
    ] == []


def test_every_reason_is_in_the_table(documented: Sequence[Component]) -> None:
    """The README explains each reason that a comment names."""
    named = {
        reason
        for component in documented
        for group in _REASONS.findall(component.comment)
        for reason in group.split(", ")
    }
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", (PROTOS / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert named - rows == set()


def test_the_readme_knows_every_rpc(documented: Sequence[Component]) -> None:
    """The README's two lists have every RPC: those that are built in the first, the others in the second."""
    section = (PROTOS / "README.md").read_text(encoding="utf-8").partition("\n## What works today\n")[2]
    works, _, rest = section.partition("Nothing is ignored")
    not_built = rest.partition("Not built yet:\n")[2].partition("\nOf a send: ")[0]
    rpcs = {component.name for component in documented if component.kind == "rpc"}
    built = {name.partition("/")[2] for name in BUILT}

    assert set(re.findall(r"`(\w+)`", works)) == built
    assert set(re.findall(r"`(\w+)`", not_built)) == rpcs - built


def _repeats_name(component: Component) -> bool:
    name = f"{component.parent} {component.name}" if component.kind in {"field", "value"} else component.name
    spoken = _words(component.comment)
    return not spoken - _words(name) - _STOP_WORDS


def _words(text: str) -> set[str]:
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return {word.removesuffix("s") for word in re.findall(r"[a-z0-9]+", separated.lower())}
