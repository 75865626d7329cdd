"""The files of `gateway/web` over HTTP: their types, how long a browser keeps them, and who may load them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.staticfiles import NotModifiedResponse

if TYPE_CHECKING:
    import os

    from starlette.responses import Response
    from starlette.types import Scope

WEB_DIR = Path(__file__).parent.parent / "web"

# What the system's own table says is not the same everywhere, and a module of another type is not run.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
_MODULES = frozenset({".js", ".mjs"})


class Files(StaticFiles):
    """Serves the page and its modules.

    Browsers ask before they use what they keep, as the names of the files do not change with their content. The modules
    are for pages of any origin: they are public, and know nothing of who asks for them.
    """

    def __init__(self, directory: Path = WEB_DIR) -> None:
        super().__init__(directory=directory, html=True)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Gives a file, or says that what the browser keeps is the same."""
        path = Path(full_path)
        headers = {"Cache-Control": "no-cache", "ETag": _etag(path, stat_result.st_mtime_ns, stat_result.st_size)}
        media_type = _MEDIA_TYPES.get(path.suffix)
        response: Response = FileResponse(path, status_code, headers, media_type, stat_result=stat_result)
        # It says no more than the ETag, and less where an archive gives all files one time.
        del response.headers["Last-Modified"]
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            response = NotModifiedResponse(response.headers)
        if path.suffix in _MODULES:
            response.headers["Access-Control-Allow-Origin"] = "*"
        return response


@lru_cache(maxsize=256)
def _etag(path: Path, _mtime_ns: int, _size: int) -> str:
    """Names the content: files of two releases may have one size, and the one time that their archive has."""
    return f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"'
