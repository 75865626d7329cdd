"""A user's choices, as NotificationAPI's SDKs write and read a list of them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carillon.v1 import channel_pb2, preferences_pb2
from gateway.http.notificationapi.bodies import Lenient, checked, checked_list
from gateway.http.notificationapi.spelling import camel
from gateway.notificationapi.preferences import DELIVERIES, STATES
from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHANNELS = {name.removeprefix("CHANNEL_"): name for name in channel_pb2.Channel.keys()[1:]}
_NAMES = {number: name for name, number in DELIVERIES.items()}
_LIST = re.compile(r"preferences\[(\d+)\](.*)", re.DOTALL)


class ChoiceBody(Lenient):
    """One choice; without a channel it is for all of them, and older SDKs know only on and off."""

    notificationId: str
    channel: str | None = None
    delivery: str | None = None
    state: bool | None = None
    subNotificationId: str | None = None


class ChoicesBody(Lenient):
    """A list of choices in an object, as some write it."""

    preferences: list[ChoiceBody]
    userId: str | None = None


@dataclass(frozen=True, slots=True)
class ReadChoices:
    """Choices as the services take them."""

    preferences: tuple[preferences_pb2.Preference, ...]
    prefix: str
    """Where the list stands in the body; empty where it is the body."""

    user_id: str = ""
    """Whose they are, where the body says it."""

    have_states: tuple[bool, ...] = ()
    """Of each whether it has a state where others have a delivery."""

    def name(self, path: str) -> str:
        """Gives the caller's name for a field of a request that writes these choices."""
        match = _LIST.fullmatch(path)
        if match is None:
            return camel(path)
        place, rest = int(match[1]), match[2]
        if rest == ".delivery_option":
            is_state = place < len(self.have_states) and self.have_states[place]
            rest = ".state" if is_state else ".delivery"
        return f"{self.prefix}[{place}]{camel(rest)}"


def read_choices(body: object) -> ReadChoices:
    """Reads the choices of a body: an array, or an object that has one as ``preferences``.

    Raises:
        RequestValidationError: If a field is missing or of another kind.
        InvalidArgument: If a word is none that we know.
    """
    if isinstance(body, list):
        given, prefix, user_id = checked_list(ChoiceBody, body), "", ""
    else:
        wrapped = checked(ChoicesBody, body)
        given, prefix, user_id = wrapped.preferences, "preferences", wrapped.userId or ""
    violations = Violations()
    preferences = tuple(_choice(one, f"{prefix}[{i}]", violations) for i, one in enumerate(given))
    violations.raise_if_any()
    return ReadChoices(preferences, prefix, user_id, tuple(one.delivery is None for one in given))


def user_mismatch(user_id: str) -> InvalidArgument:
    """Makes the refusal of a body that is about another user than its path."""
    return InvalidArgument([FieldViolation("userId", f"must be the user of the path, '{user_id}', or be left out")])


def stored_choices_to_json(
    client_id: str, user_id: str, preferences: Iterable[preferences_pb2.Preference]
) -> dict[str, Any]:
    """Gives stored choices: in the place where their answer of 2024 had them, with the fields of the newer one."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in preferences:
        entry = found.setdefault(
            (one.notification_id, one.sub_notification_id),
            {
                "envId": client_id,
                "userId": user_id,
                "notificationId": one.notification_id,
                **({"subNotificationId": one.sub_notification_id} if one.sub_notification_id else {}),
                "channelsStates": [],
            },
        )
        channel = channel_pb2.Channel.Name(one.channel).removeprefix("CHANNEL_")
        entry["channelsStates"].append(
            {
                # One without is for all channels.
                **({"channel": channel} if one.channel else {}),
                "state": one.delivery_option != channel_pb2.DELIVERY_OPTION_OFF,
                "delivery": _NAMES.get(one.delivery_option, "instant"),
            }
        )
    return {"UserPreferences": list(found.values())}


def _choice(body: ChoiceBody, path: str, violations: Violations) -> preferences_pb2.Preference:
    preference = preferences_pb2.Preference(
        notification_id=body.notificationId, sub_notification_id=body.subNotificationId or ""
    )
    if body.channel:
        name = _CHANNELS.get(body.channel.strip().upper())
        if name:
            preference.channel = channel_pb2.Channel.Value(name)
        else:
            violations.add(f"{path}.channel", f"must be one of {', '.join(_CHANNELS)}")
    if body.delivery is not None:
        option = DELIVERIES.get(body.delivery.strip().lower())
        if option:
            preference.delivery_option = option
        else:
            violations.add(f"{path}.delivery", f"must be one of {', '.join(DELIVERIES)}")
    elif body.state is not None:
        preference.delivery_option = STATES[body.state]
    else:
        violations.add(f"{path}.delivery", "must be given, or else state", "REQUIRED")
    return preference
