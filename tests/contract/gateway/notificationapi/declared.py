"""What the OpenAPI document declares, held against every answer that a test gets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_PARAMETER = re.compile(r"\\\{([a-z_]+)\\\}")
# A user's id may have slashes, and so may what is no id of a part.
_WITH_SLASHES = {"user_id", "sub_notification_id"}


class Declared:
    """The statuses that a document declares, by method and path."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._routes = [
            (_pattern(path), method.upper(), {int(status) for status in operation["responses"]})
            # The longer first: the path of a whole user matches what is behind one, too.
            for path, methods in sorted(document["paths"].items(), key=lambda one: -len(one[0]))
            for method, operation in methods.items()
        ]

    def statuses(self, method: str, path: str) -> set[int] | None:
        """Gives the statuses of a call; None where there is no such call."""
        path = re.sub(r"/{2,}", "/", path).removesuffix("/")
        return next((found for pattern, of, found in self._routes if of == method and pattern.fullmatch(path)), None)


_documents: dict[str, Declared] = {}


async def check_declared(http: httpx.AsyncClient, response: httpx.Response) -> None:
    """Fails where a status is sent that the document does not declare."""
    url = str(http.base_url)
    if url not in _documents:
        _documents[url] = Declared((await http.get("/openapi.json")).json())
    request = response.request
    statuses = _documents[url].statuses(request.method, request.url.raw_path.decode().partition("?")[0])
    if statuses is not None:
        assert response.status_code in statuses, f"{request.method} {request.url.path}: {response.status_code}"


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(
        _PARAMETER.sub(lambda match: ".+" if match[1] in _WITH_SLASHES else "[^/]+", re.escape(path)), re.DOTALL
    )
