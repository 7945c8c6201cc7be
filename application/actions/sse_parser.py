"""Server-sent events, parsed as the WHATWG HTML standard says (section 9.2.6), however the bytes are split."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from domain.values import dataclass

_BREAK = re.compile(r"\r\n|\n|\r")
_DIGITS = re.compile(r"[0-9]{1,15}")


class EventTooLarge(Exception):
    """A line or an event is larger than it may be."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its type, its data (lines joined by line feeds), and the last event id at that moment."""

    type: str
    data: str
    id: str


class EventParser:
    """Takes bytes as they come. `last_event_id` and `retry` (milliseconds) are what the stream has said so far."""

    def __init__(self, largest: int, last_event_id: str = "") -> None:
        """`largest` is the size of an event in characters."""
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._largest = largest
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = False
        self._after_return = False
        self._line: list[str] = []
        self._data: list[str] = []
        self._size = 0
        self._type = ""
        self._id = last_event_id

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that these bytes complete."""
        text = self._decoder.decode(piece)
        if text and not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        if text and self._after_return:
            self._after_return = False
            text = text.removeprefix("\n")  # the line ended with the carriage return already
        at = 0
        for found in _BREAK.finditer(text):
            self._add(text[at : found.start()])
            at = found.end()
            line = "".join(self._line)
            self._line.clear()
            yield from self._end_of_line(line)
        self._add(text[at:])
        self._after_return = self._after_return or (at == len(text) and text.endswith("\r"))

    def _add(self, text: str) -> None:
        self._size += len(text)
        if self._size > self._largest:
            raise EventTooLarge
        if text:
            self._line.append(text)

    def _end_of_line(self, line: str) -> Iterator[ServerEvent]:
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            return
        self._size -= len(line)
        if name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and _DIGITS.fullmatch(value):
            self.retry = int(value)

    def _dispatch(self) -> Iterator[ServerEvent]:
        self.last_event_id = self._id
        data, type = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        if data:
            yield ServerEvent(type or "message", "\n".join(data), self._id)
