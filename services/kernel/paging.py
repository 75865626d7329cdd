"""Page tokens: where a page ended, bound to the query that it belongs to.

A token is not signed: it says nothing that its bearer could not ask for. So what it carries is checked like any input.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence

from services.kernel.encoding import decode_base64
from services.kernel.errors import FieldViolation, InvalidArgument

PositionValue = str | int
Filter = str | int | bool | None | Sequence[str] | Sequence[int]

_MAX_TOKEN_LENGTH = 4096
_INT64 = range(-(2**63), 2**63)


def encode_page_token(position: Sequence[PositionValue], filters: Mapping[str, Filter]) -> str:
    """Makes the token of the page after ``position``.

    Args:
        position: The sort key of the last item of this page.
        filters: Everything that chooses the items: the RPC's name, the client_id, and each filter of the request.
    """
    payload = json.dumps([*position, _fingerprint(filters)], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")


def decode_page_token(
    token: str, filters: Mapping[str, Filter], *, types: tuple[type[PositionValue], ...] | None = None
) -> tuple[PositionValue, ...] | None:
    """Gives the position that the token was made from, or None for an empty token: the first page.

    Args:
        token: The token as the caller sent it.
        filters: As for ``encode_page_token``.
        types: What the position consists of, so that its parts can be used without a further check.

    Raises:
        InvalidArgument: With the field ``page_token``, if this is no token, or one of another query.
    """
    if not token:
        return None

    values = _parse(token)
    if values is None:
        raise _refused("is not a page token; send next_page_token of the page before as it came", "PAGE_TOKEN_INVALID")

    *position, fingerprint = values
    if fingerprint != _fingerprint(filters):
        raise _refused(
            "belongs to another query; repeat the query it came from, or start again without a token",
            "PAGE_TOKEN_OTHER_QUERY",
        )
    if types is not None and tuple(map(type, position)) != types:
        raise _refused("does not fit this query; start again without a token", "PAGE_TOKEN_INVALID")
    return tuple(position)


def _parse(token: str) -> list[PositionValue] | None:
    if len(token) > _MAX_TOKEN_LENGTH:
        return None
    try:
        values = json.loads(decode_base64(token))
    except (ValueError, RecursionError):
        return None

    if isinstance(values, list) and values and all(map(_is_position_value, values)):
        return values
    return None


def _is_position_value(value: object) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    return type(value) is int and value in _INT64


def _fingerprint(filters: Mapping[str, Filter]) -> str:
    canonical = json.dumps(filters, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).digest()[:8].hex()


def _refused(description: str, reason: str) -> InvalidArgument:
    return InvalidArgument([FieldViolation("page_token", description, reason)], reason=reason)
