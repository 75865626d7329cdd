"""Reading base64 as people and libraries write it."""

from __future__ import annotations

import base64


def decode_base64(text: str) -> bytes:
    """Decodes base64 in either alphabet, with or without padding; raises ValueError for anything else."""
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
