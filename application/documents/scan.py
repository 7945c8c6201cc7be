"""The scan: walks libyaml's events and refuses hostile documents before anything is built from them.

Counted with aliases expanded: nodes, bytes of text, depth. Sources: project limits; YAML 1.2 chapter 7 (one stream, aliases).
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple

import yaml
from yaml.reader import Reader

from application.documents.malformed import malformed, refused
from application.documents.quotes import quote_remedy
from application.documents.scalars import COLLECTION_TAGS, SCALAR_TAGS
from application.documents.source import Source
from domain.definition import Position
from domain.errors import InvalidFlow
from domain.limits import LIMITS, Limits
from domain.values import dataclass

_CORE = "tag:yaml.org,2002:"
_new = tuple.__new__
"""Makes a named tuple in half the time of its class."""


@dataclass(slots=True, eq=False, repr=False)
class Stream:
    """The events of one safe document. `targets` says, for the index of an alias, where the node it repeats begins."""

    source: Source
    events: list[Any] = field(default_factory=list)
    targets: dict[int, int] = field(default_factory=dict)


class _Cost(NamedTuple):
    """What a complete node amounts to with its aliases expanded: nodes, bytes of text, levels below it."""

    nodes: int
    size: int
    height: int


@dataclass(slots=True, eq=False, repr=False)
class _Open:
    """A collection that is not complete yet: what there was before it, and the levels below it so far."""

    anchor: str | None
    nodes: int
    size: int
    height: int = 0


def decode(data: str | bytes, file: str, limits: Limits = LIMITS) -> Source:
    """The text of a document, its size and its characters checked. Raises InvalidFlow."""
    size = len(data)
    if size <= limits.document_bytes and isinstance(data, str):
        size = len(data.encode("utf-8", "surrogatepass"))
    if size > limits.document_bytes:
        title = f"The document has {size:,} bytes; at most {limits.document_bytes:,} are read"
        raise InvalidFlow((Source("", file).problem(Position(1, 1), title, "split it into several files"),))
    text = data if isinstance(data, str) else _utf8(data, file)
    source = Source(text.removeprefix("\ufeff"), file)
    bad = unreadable(source.text)
    if bad is not None:
        title = f"The character U+{ord(source.text[bad]):04X} may not stand in a YAML document"
        raise refused(source, source.position(bad), title, "remove it, or write it as an escape in double quotes")
    return source


def unreadable(text: str) -> int | None:
    """Where the first character stands that YAML 1.2 (section 5.1) or a mark inside a text forbids."""
    found = Reader.NON_PRINTABLE.search(text)
    places = [at for at in (found.start() if found else -1, text.find("\ufeff")) if at >= 0]
    return min(places, default=None)


def scan(source: Source, limits: Limits = LIMITS) -> Stream:
    """The events of the only document in the text. Raises InvalidFlow for the first thing that is unreadable or unsafe."""
    scanner = _Scanner(source, limits)
    try:
        parser = yaml.CSafeLoader(source.text)
        while (event := parser.get_event()) is not None:
            scanner.take(event)
    except yaml.MarkedYAMLError as error:
        raise malformed(source, error) from None
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise refused(source, Position(1, 1), f"The document cannot be read: {first}") from None
    return scanner.stream


def place(event: Any) -> Position:
    """Where an event begins; for quoted text where its content begins."""
    mark = event.start_mark
    quote = type(event) is yaml.ScalarEvent and event.style in ("'", '"')
    return _new(Position, (mark.line + 1, mark.column + 1 + quote))


class _Scanner:
    """Counts as it goes, so that nothing beyond a limit is ever looked at."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.stream = Stream(source)
        self._source = source
        self._limits = limits
        self._anchors: dict[str, tuple[int, _Cost | None]] = {}
        self._documents = 0
        self._nodes = 1
        self._size = 0
        self._open = [_Open(None, self._nodes, self._size)]

    def take(self, event: Any) -> None:
        """Check one event and keep it if it belongs to a node."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._begin(event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._end()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        else:
            if kind is yaml.DocumentStartEvent:
                self._document(event)
            return
        self.stream.events.append(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._refuse(event, "A second document begins here", "keep one document in each file")

    def _scalar(self, event: Any) -> None:
        if event.tag is not None:
            self._tag(event, SCALAR_TAGS)
        value = event.value
        size = len(value) if value.isascii() else len(value.encode())
        if size > self._limits.string_bytes:
            title = f"A text of {size:,} bytes; at most {self._limits.string_bytes:,} are read"
            raise self._refuse(event, title, "keep long texts in a file of their own")
        if "\0" in value:
            raise self._refuse(event, "A text may not hold the character U+0000")
        if event.anchor:
            self._anchors[event.anchor] = (len(self.stream.events), _Cost(1, size, 0))
        self._count(event, 1, size, 0)

    def _begin(self, event: Any) -> None:
        if event.tag is not None:
            self._tag(event, COLLECTION_TAGS)
        if event.anchor:
            self._anchors[event.anchor] = (len(self.stream.events), None)
        self._open.append(_Open(event.anchor, self._nodes, self._size))
        self._depth(event, len(self._open) - 1)
        self._nodes += 1
        if self._nodes > self._limits.document_nodes:
            raise self._too_much(event)

    def _end(self) -> None:
        ended = self._open.pop()
        if ended.anchor and self._anchors[ended.anchor][1] is None:
            cost = _Cost(self._nodes - ended.nodes, self._size - ended.size, ended.height)
            self._anchors[ended.anchor] = (self._anchors[ended.anchor][0], cost)
        around = self._open[-1]
        if ended.height >= around.height:
            around.height = ended.height + 1

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise self._refuse(event, f"Nothing before this is named &{event.anchor}", self._unknown_alias(event))
        index, cost = self._anchors[event.anchor]
        if cost is None:
            raise self._refuse(event, f"*{event.anchor} would repeat itself without end", "repeat only what is complete above")
        self.stream.targets[len(self.stream.events)] = index
        self._depth(event, len(self._open) - 1 + cost.height)
        self._count(event, *cost)

    def _unknown_alias(self, event: Any) -> str:
        line = self._source.line(event.start_mark.line + 1)
        return f"if * belongs to the value, {quote_remedy(line)}"

    def _count(self, event: Any, nodes: int, size: int, height: int) -> None:
        around = self._open[-1]
        if height >= around.height:
            around.height = height + 1
        self._nodes += nodes
        self._size += size
        if self._nodes > self._limits.document_nodes or self._size > self._limits.document_bytes:
            raise self._too_much(event)

    def _too_much(self, event: Any) -> InvalidFlow:
        if self._nodes > self._limits.document_nodes:
            title = f"The document has more than {self._limits.document_nodes:,} values, repeated ones counted"
            return self._refuse(event, title, "split it into several files, or repeat less")
        title = f"The document's texts have more than {self._limits.document_bytes:,} bytes, repeated ones counted"
        return self._refuse(event, title, "split it into several files, or repeat less")

    def _depth(self, event: Any, depth: int) -> None:
        if depth > self._limits.document_depth:
            raise self._refuse(event, f"Values are nested more than {self._limits.document_depth} deep", "nest less deeply")

    def _tag(self, event: Any, allowed: frozenset[str]) -> None:
        if event.tag in allowed:
            return
        shown = event.tag.replace(_CORE, "!!", 1) if event.tag.startswith(_CORE) else event.tag
        line = self._source.line(event.start_mark.line + 1)
        remedy = "remove the tag; if ! belongs to the value, " + quote_remedy(line)
        raise self._refuse(event, f"The tag {shown[:80]} is not allowed", remedy)

    def _refuse(self, event: Any, title: str, remedy: str | None = None) -> InvalidFlow:
        return refused(self._source, Position(event.start_mark.line + 1, event.start_mark.column + 1), title, remedy)


def _utf8(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        source = Source(data.decode("utf-8", "replace"), file)
        before = data[: error.start].decode("utf-8", "replace")
        title = f"The byte 0x{data[error.start]:02X} is not UTF-8"
        raise refused(source, source.position(len(before)), title, "save the file as UTF-8") from None
