"""What the services refuse, in their words: fields by the names that the caller wrote."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from gateway.http.errors import Refusal, rpc_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_BACKEND_ONLY = "BACKEND_ONLY"


@contextmanager
def in_their_words(
    name: Callable[[str], str] = lambda path: path, changes: Mapping[str, tuple[int, str, str]] | None = None
) -> Iterator[None]:
    """Turns what the services refuse inside of the block into a Refusal.

    Args:
        name: Gives the caller's name for a field of ours.
        changes: For a reason of the services: the status, the code and the fix that it is answered with.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise translated(rpc_refusal(error), name, changes or {}) from None


def translated(
    refusal: Refusal, name: Callable[[str], str], changes: Mapping[str, tuple[int, str, str]] | None = None
) -> Refusal:
    """Gives a refusal with the caller's names. Pure."""
    if refusal.code == _BACKEND_ONLY:
        return Refusal(
            refusal.http,
            refusal.code,
            "these are the credentials of an end user, who cannot do this: only a server can, with the client secret",
            fix="Use Basic base64(clientId:clientSecret), from a server. After identifying a user, go back to them.",
        )
    if refusal.fields:
        fields = [(name(field), description) for field, description in refusal.fields]
        message = "; ".join(f"{field}: {description}" for field, description in fields)
        return Refusal(refusal.http, refusal.code, message, fix=refusal.fix, fields=fields)
    if changes and (change := changes.get(refusal.code)):
        http, code, fix = change
        return Refusal(http, code, refusal.message, fix=fix)
    return refusal
