"""The reader: builds plain values straight from scanned events, with the place of every key and value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import yaml

from application.documents.quotes import quote_remedy
from application.documents.scalars import resolve, tagged
from application.documents.scan import Stream, decode, place, scan
from application.documents.source import Source
from domain.definition import Path, Position
from domain.errors import Problem
from domain.limits import LIMITS, Limits
from domain.values import dataclass

PROBLEMS = 100
"""How many problems of one document are reported."""
QUOTE = "put this value in quotes"
QUOTE_ITEM = "put this whole item in quotes"

_MERGE = "<<"
_ROOT = "flow"


@dataclass(slots=True, eq=False, repr=False)
class Document:
    """One document: its value, and for each path where its value and its key stand. `texts` has numbers as they are written.
    `flow` is the part below the key of that name, with paths of its own."""

    source: Source
    value: Any = None
    positions: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    flow: Document | None = None

    def below_flow(self) -> Document:
        """The part of the document below `flow`, with paths counted from there."""
        if self.flow is not None:
            return self.flow
        places = _cut(self.positions), _cut(self.keys), _cut(self.texts)
        return Document(self.source, self.value[_ROOT], *places, self.problems)


def _cut(places: Mapping[Path, Any]) -> dict[Path, Any]:
    return {path[1:]: at for path, at in places.items() if path[:1] == (_ROOT,)}


def read(data: str | bytes, file: str = "<flow>", limits: Limits = LIMITS) -> Document:
    """A document's plain values. Raises InvalidFlow where it is unreadable or unsafe; lesser problems stand in `problems`."""
    stream = scan(decode(data, file, limits), limits)
    document = Document(stream.source)
    if stream.events:
        document.value = _Builder(stream, document, whole=True).node(0, ())[0]
    return document


class _Builder:
    """Builds by index into the events; an alias builds the node it names once more (the scan has bounded how much)."""

    def __init__(self, stream: Stream, document: Document, *, whole: bool = False) -> None:
        """`whole` documents keep what is below `flow` as a document of its own."""
        self._stream = stream
        self._events = stream.events
        self._targets = stream.targets
        self._document = document
        self._whole = whole

    def node(self, index: int, path: Path) -> tuple[Any, int]:
        """The value of the node that begins at `index`, and the index after it."""
        event = self._events[index]
        self._document.positions[path] = place(event)
        kind = type(event)
        if kind is yaml.ScalarEvent:
            return self._scalar(event, path), index + 1
        if kind is yaml.MappingStartEvent:
            return self._mapping(index, path)
        if kind is yaml.SequenceStartEvent:
            return self._sequence(index + 1, path)
        value, _ = self.node(self._targets[index], path)
        self._document.positions[path] = place(event)
        return value, index + 1

    def _scalar(self, event: Any, path: Path) -> Any:
        if event.style and event.tag is None:
            return event.value
        try:
            if event.tag is not None:
                return tagged(event.tag, event.value)
            value = resolve(event.value)
        except ValueError as error:
            self._problem(event, f"{error}", "put it in quotes if it is text")
            return event.value
        if not isinstance(value, str):
            self._document.texts[path] = event.value
        return value

    def _sequence(self, index: int, path: Path) -> tuple[list[Any], int]:
        items: list[Any] = []
        events = self._events
        while type(events[index]) is not yaml.SequenceEndEvent:
            item, index = self.node(index, (*path, len(items)))
            items.append(item)
        return items, index + 1

    def _mapping(self, start: int, path: Path) -> tuple[dict[str, Any], int]:
        own: dict[str, Any] = {}
        merges: list[int] = []
        events, index = self._events, start + 1
        while type(event := events[index]) is not yaml.MappingEndEvent:
            key = self._key(index, start)
            if key is None:
                index = self._skip(self._skip(index))
                continue
            below = (*path, key)
            if key == _MERGE and not event.style:
                merges.append(index + 1)
                index = self._skip(index + 1)
            elif key in own:
                self._twice(event, below, key)
                index = self._skip(index + 1)
            else:
                self._document.keys[below] = place(event)
                own[key], index = self._flow(index + 1) if self._whole and below == (_ROOT,) else self.node(index + 1, below)
        for merge in merges:
            self._merge(merge, path, own)
        return own, index + 1

    def _flow(self, index: int) -> tuple[Any, int]:
        """What is below `flow`, kept apart, so that its many paths need not be cut afterwards."""
        inner = self._document.flow = Document(self._document.source, problems=self._document.problems)
        inner.value, after = _Builder(self._stream, inner).node(index, ())
        self._document.positions[(_ROOT,)] = inner.positions[()]
        return inner.value, after

    def _key(self, index: int, start: int) -> str | None:
        """A key as text (`200:` and `on:` are the texts 200 and on); None, with a problem, for anything else."""
        event = self._events[index]
        if type(event) is yaml.AliasEvent:
            event = self._events[self._targets[index]]
        if type(event) is not yaml.ScalarEvent:
            self._no_key(self._events[index], self._events[start])
            return None
        key = str(event.value)
        if "{" in key and event.style in (None, "") and key.count("${") + key.count("{{") > key.count("}"):
            self._problem(event, "YAML splits this template at its colon", QUOTE_ITEM)
            return None
        return key

    def _no_key(self, event: Any, mapping: Any) -> None:
        mark = mapping.start_mark
        if self._document.source.line(mark.line + 1)[mark.column :].startswith("{{"):
            self._problem(mapping, "YAML reads {{ without quotes as the beginning of a mapping", QUOTE)
        else:
            self._problem(event, "A key must be a text, not a list or a mapping", QUOTE)

    def _twice(self, event: Any, path: Path, key: str) -> None:
        first = self._document.keys[path].line
        self._problem(event, f'The key "{key}" stands here twice', f"it is given first in line {first}; remove one of the two")

    def _merge(self, index: int, path: Path, own: dict[str, Any]) -> None:
        """Add the keys of merged mappings that are not given already (https://yaml.org/type/merge.html)."""
        event = self._events[index]
        document = Document(self._document.source, problems=self._document.problems)
        value, _ = _Builder(self._stream, document).node(index, ())
        listed = isinstance(value, list)
        taken: set[Path] = set()
        for number, part in enumerate(value if listed else [value]):
            if not isinstance(part, dict):
                self._problem(event, "Only mappings can be merged with <<", "name an anchor of a mapping: <<: *name")
                continue
            new = {key: item for key, item in part.items() if key not in own}
            own.update(new)
            taken.update((number, key) if listed else (key,) for key in new)
        self._adopt(document, taken, path, 1 + listed)

    def _adopt(self, merged: Document, taken: set[Path], path: Path, size: int) -> None:
        """Take over the places of merged values, whose paths there have `size` parts up to the key."""
        pairs: tuple[tuple[dict[Path, Any], dict[Path, Any]], ...] = (
            (merged.positions, self._document.positions),
            (merged.keys, self._document.keys),
            (merged.texts, self._document.texts),
        )
        for source, target in pairs:
            target.update({(*path, *old[size - 1 :]): at for old, at in source.items() if old[:size] in taken})

    def _skip(self, index: int) -> int:
        """The index after the node that begins at `index`."""
        depth = 0
        while True:
            event = self._events[index]
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            index += 1
            if depth == 0:
                return index

    def _problem(self, event: Any, title: str, remedy: str) -> None:
        document = self._document
        if len(document.problems) >= PROBLEMS:
            return
        if remedy in (QUOTE, QUOTE_ITEM):
            remedy = quote_remedy(document.source.line(event.start_mark.line + 1), whole_item=remedy == QUOTE_ITEM)
        problem = document.source.problem(place(event), title, remedy)
        if problem not in document.problems:
            document.problems.append(problem)
