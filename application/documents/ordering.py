"""The canonical order of keys: which mappings of a document are records of the grammar, and their lines put in its order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from application.documents.actions import config_record, find_action
from application.documents.grammar import FLOW, STEP
from application.documents.reader import read
from application.documents.records import Either, ListOf, MapOf, Record, Steps
from application.documents.shapes import Shape
from application.documents.source import LINE_BREAK
from application.engine.action import Action
from application.engine.errors import ActionUnusable
from domain.definition import Path

_MERGE = "<<"
_LINES = re.compile("[^\n\r\x85\u2028\u2029]*(?:\r\n|[\n\r\x85\u2028\u2029])")
"""Lines with their ends, as libyaml counts them."""
_COMMENT = re.compile(r"\s*#")


def records(value: Any, actions: Mapping[str, Action]) -> Iterator[tuple[Path, Sequence[str]]]:
    """The mappings of a document whose keys have an order, by path, and that order."""
    if not isinstance(value, dict):
        return
    if isinstance(value.get("flow"), dict):
        yield from _walk(FLOW, value["flow"], ("flow",), actions)
    else:
        yield from _walk(FLOW, value, (), actions)


def _walk(shape: Shape, value: Any, path: Path, actions: Mapping[str, Action]) -> Iterator[tuple[Path, Sequence[str]]]:
    if isinstance(shape, Either):
        fitting = next((one for one in shape.shapes if one.fits(value)), None)
        if fitting is not None:
            yield from _walk(fitting, value, path, actions)
    elif isinstance(shape, Steps) and isinstance(value, list):
        for index, step in enumerate(value):
            yield from _walk(STEP, step, (*path, index), actions)
    elif isinstance(shape, ListOf):
        for index, item in enumerate(value) if isinstance(value, list) else ():
            yield from _walk(shape.item, item, (*path, index), actions)
    elif isinstance(shape, MapOf):
        return
    elif isinstance(shape, Record) and isinstance(value, dict):
        yield path, shape.order
        yield from _inside(shape, value, path, actions)


def _inside(
    record: Record, value: dict[str, Any], path: Path, actions: Mapping[str, Action]
) -> Iterator[tuple[Path, Sequence[str]]]:
    for name, item in value.items():
        if (known := record.find(name)) is not None:
            yield from _walk(known.shape, item, (*path, name), actions)
    action = _action(value["action"], actions) if record is STEP and isinstance(value.get("action"), str) else None
    config = value.get("config")
    if action is not None and isinstance(config, dict):
        for name, item in config.items():
            key = config_record(action).find(name)
            if key is not None and isinstance(key.shape, Steps | Either | ListOf):
                yield from _walk(key.shape, item, (*path, "config", name), actions)


def wanted_order(keys: Sequence[str], order: Sequence[str]) -> list[str]:
    """The keys in their order: merges first, those that the order does not know last, as they stand."""
    rank = {name: place for place, name in enumerate(order)}
    return sorted(keys, key=lambda key: -1 if key == _MERGE else rank.get(key, len(rank)))


def ordered(text: str, actions: Mapping[str, Action]) -> str:
    """The text with the lines of block mappings in canonical order; comments above a key move with it."""
    text = text if LINE_BREAK.search(text[-1:]) else text + "\n"
    depth, deepest = 0, 0
    while depth <= deepest:
        document = read(text)
        places = list(records(document.value, actions))
        deepest = max((len(path) for path, _ in places), default=0)
        nodes = _nodes(text)
        lines = _LINES.findall(text)
        for path, order in places:
            node = nodes.get(path)
            if len(path) == depth and node is not None:
                _put_in_order(lines, node, order)
        text = "".join(lines)
        depth += 1
    return text


def _nodes(text: str) -> dict[Path, Any]:
    """The nodes of mappings by path; those that aliases repeat only where they are written."""
    found: dict[Path, Any] = {}
    seen: set[int] = set()

    def visit(node: Any, path: Path) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            found[path] = node
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    visit(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                visit(item, (*path, index))

    visit(yaml.compose(text, Loader=yaml.CSafeLoader), ())
    return found


def _put_in_order(lines: list[str], node: Any, order: Sequence[str]) -> None:
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    wanted = wanted_order(keys, order)
    if node.flow_style or len(keys) != len(node.value) or wanted == keys or len(set(keys)) != len(keys):
        return
    first = node.value[0][0].start_mark
    prefix = lines[first.line][: first.column]
    if prefix.strip(" -"):
        return
    before = [_last_line(value) for _, value in node.value]
    starts = [first.line, *(_start(lines, key.start_mark.line, before[n]) for n, (key, _) in enumerate(node.value[1:]))]
    ends = [*starts[1:], _last_line(node.value[-1][1]) + 1]
    parts = {key: lines[start:end] for key, start, end in zip(keys, starts, ends, strict=True)}
    parts[keys[0]] = [" " * len(prefix) + parts[keys[0]][0][len(prefix) :], *parts[keys[0]][1:]]
    leading = parts[wanted[0]]
    place = next(number for number, line in enumerate(leading) if not _COMMENT.match(line))
    if wanted[0] != keys[0]:
        dash = " " * (len(prefix) - len(prefix.lstrip()))
        leading[:place] = [dash + line.lstrip() for line in leading[:place]]
    leading[place] = prefix + leading[place][len(prefix) :]
    lines[starts[0] : ends[-1]] = [line for key in wanted for line in parts[key]]


def _start(lines: list[str], line: int, before: int) -> int:
    """Where an entry begins: at the comments right above its key, and below the last line of the entry before."""
    while line > before + 1 and _COMMENT.match(lines[line - 1]):
        line -= 1
    return line


def _last_line(node: Any) -> int:
    """The last line that a node's own text takes; block collections end where their last part does."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(node.start_mark.line, _last_line(last[1] if isinstance(last, tuple) else last))
    end = node.end_mark
    return int(max(node.start_mark.line, end.line - (end.column == 0 and end.line > node.start_mark.line)))


def _action(name: str, actions: Mapping[str, Action]) -> Action | None:
    """The action of a step; a plugin that is broken is no reason not to order the rest."""
    try:
        return find_action(name, actions)
    except ActionUnusable:
        return None
