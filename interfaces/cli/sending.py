"""Files as requests carry them: text where that is possible, base64 elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any


def sent_files(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The `files` of a request."""
    return [{"path": path, **_content(content)} for path, content in sorted(files.items())]


def _content(content: bytes) -> dict[str, str]:
    if b"\0" not in content:  # JSON could carry it, and the server takes none
        try:
            return {"text": content.decode()}
        except UnicodeDecodeError:
            pass
    return {"base64": b64encode(content).decode()}
