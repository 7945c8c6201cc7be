"""What a worker and the process of a plugin say to each other: JSON, each message after its length in four bytes.

The worker reads only what JSON can hold (bytes stand as Base64), so that nothing that a plugin answers is ever executed.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

from application.engine.errors import ActionError, ActionFailed, ActionUnusable, BodyFailed
from domain.expressions import ExpressionError
from domain.limits import LIMITS

LENGTH = 4
_BYTES = "\0bytes"
Message = dict[str, Any]


class TooLarge(Exception):
    """A message has more bytes than the limit for what is read of an answer."""


class NotPlain(Exception):
    """A value that is no plain data; the text says which kind it is."""


def packed(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent. NotPlain for a value that JSON cannot hold, TooLarge for one that would not be read."""
    try:
        data = json.dumps(message, default=_other, separators=(",", ":")).encode("utf-8", "surrogatepass")
    except TypeError as error:  # a key that is no text
        raise NotPlain(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise NotPlain("a value that contains itself, or too many within each other") from error
    if len(data) > LIMITS.response_read_bytes:
        raise TooLarge(f"{len(data):,} bytes; {LIMITS.response_read_bytes:,} are read")
    return len(data).to_bytes(LENGTH, "big") + data


def unpacked(data: bytes) -> Message:
    """The message."""
    message: Message = json.loads(data.decode("utf-8", "surrogatepass"), object_hook=_bytes)
    return message


async def receive(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None when the other side is gone. TooLarge, or ValueError for what is no message."""
    try:
        size = int.from_bytes(await reader.readexactly(LENGTH), "big")
        if size > LIMITS.response_read_bytes:
            raise TooLarge(f"{size:,} bytes; {LIMITS.response_read_bytes:,} are read")
        return unpacked(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except (RecursionError, AttributeError, TypeError) as error:
        raise ValueError(f"it cannot be read: {error}") from error


def _other(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return dict(value)
    raise NotPlain(f"a {type(value).__name__}")


def _bytes(found: Message) -> Any:
    return base64.b64decode(found[_BYTES]) if found.keys() == {_BYTES} else found


def told(error: BaseException) -> Message:
    """An error as plain data, for `raised` on the other side."""
    match error:
        case ActionError():
            return {"is": "error", "kind": error.kind, "message": error.message, "hint": error.hint, "key": error.key}
        case ActionFailed():
            return {"is": "failed", "message": error.message, "result": error.result, "place": error.place}
        case BodyFailed():
            return {"is": "nested", "verdict": error.verdict, "message": error.message, "result": error.result}
        case ExpressionError():
            fields = {"offset": error.offset, "text": error.text, "hint": error.hint, "kind": error.kind}
            return {"is": "expression", "message": error.message, **fields}
        case ActionUnusable():
            return {"is": "error", "kind": "config", "message": error.message, "hint": error.remedy, "key": None}
        case TimeoutError():
            return {"is": "timeout"}
        case MemoryError():
            return {"is": "memory"}
        case asyncio.CancelledError():
            return {"is": "cancelled"}
        case _:
            return {"is": "bug", "message": f"{type(error).__name__}: {error}"}


def raised(message: Message) -> Exception:
    """The error that `told` put into words. ValueError for none of its words."""
    match message:
        case {"is": "error", "kind": str(kind), "message": str(text), "hint": hint, "key": key}:
            return ActionError(kind, text, hint=hint, key=key)
        case {"is": "failed", "message": str(text), "result": result, "place": place}:
            return ActionFailed(text, result=result, place=tuple(place) if place is not None else None)
        case {"is": "nested", "verdict": "failed" | "error" as verdict, "message": str(text), "result": result}:
            return BodyFailed(verdict, text, result=result)
        case {"is": "expression", "message": str(text), **fields}:
            return ExpressionError(text, **fields)
        case {"is": "timeout"}:
            return TimeoutError()
        case {"is": "memory"}:
            return MemoryError()
        case {"is": "bug", "message": str(text)}:
            return RuntimeError(text)
        case _:
            return ValueError("an error in no form that is known")
