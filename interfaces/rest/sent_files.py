"""Files that come with a request, as their bytes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from domain.errors import Invalid
from interfaces.rest.bodies import SentFile


def contents(files: Iterable[SentFile]) -> list[tuple[str, bytes]]:
    """Each file's path and content. Invalid for a file without content, with two, or that is there twice."""
    found: dict[str, bytes] = {}
    for file in files:
        if file.path in found:
            raise Invalid(f"the file {file.path!r} is there twice", code="duplicate_file")
        found[file.path] = _content(file)
    return list(found.items())


def _content(file: SentFile) -> bytes:
    if (file.text is None) == (file.base64 is None):
        raise Invalid(f"the file {file.path!r} has `text` or `base64`, one of them", code="invalid_file")
    if file.text is not None:
        return file.text.encode()
    try:
        return base64.b64decode(str(file.base64), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"the file {file.path!r} is not base64", code="invalid_file") from None
