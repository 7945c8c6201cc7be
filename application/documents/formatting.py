"""Formatting of flow files: canonical order and indentation, comments and quotes kept, the meaning never changed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from application.actions.registry import ACTIONS
from application.documents.ordering import ordered, records, wanted_order
from application.documents.reader import read
from application.engine.action import Action
from application.flow_documents import normalised
from domain.errors import Invalid, InvalidFlow
from domain.limits import LIMITS
from domain.values import dataclass

_CORE = "tag:yaml.org,2002:"
Way = Callable[[str, Mapping[str, Action]], str]

_ROUNDS = 4
_MARKS = (yaml.DocumentStartToken, yaml.DocumentEndToken, yaml.DirectiveToken)
_HASH = re.compile(r"#[^\n]*")
_BLANKS = re.compile(r"\n(?:[ \t]*\n)+")


def format_flow(text: str | bytes, *, file: str = "<flow>", actions: Mapping[str, Action] = ACTIONS) -> str:
    """The formatted text. InvalidFlow when it is no readable YAML; Invalid when it cannot be formatted without changing its
    meaning or losing a comment."""
    document = read(text, file)
    if document.problems:
        raise InvalidFlow(tuple(document.problems))
    source = document.source.text.replace("\r\n", "\n").replace("\r", "\n")
    for way in (_formatted, _only_ordered):
        made = _settled(source, actions, way)
        if made is not None and _comments(made) == _comments(source) and normalised(made) == normalised(source):
            return made
    raise _refused(file)


def _refused(file: str) -> Invalid:
    return Invalid(
        f"{file} cannot be formatted without changing what it means, or losing a comment; it stays as it is",
        remedy="please report it with the file",
    )


def _settled(text: str, actions: Mapping[str, Action], way: Way) -> str | None:
    """Formatted until nothing changes any more: what a round moves, the next may align. None when that fails."""
    from ruamel.yaml.error import YAMLError

    try:
        for _ in range(_ROUNDS):
            before, text = text, way(text, actions)
            if text == before:
                return text
    except (InvalidFlow, yaml.YAMLError, YAMLError):
        pass
    return None


def _only_ordered(text: str, actions: Mapping[str, Action]) -> str:
    """The order alone, for the rare files in which ruamel would lose a comment as it indents."""
    return _trimmed(ordered(_without_marks(text), actions))


def _formatted(text: str, actions: Mapping[str, Action]) -> str:
    if not any(line.strip() and not line.lstrip().startswith("#") for line in text.split("\n")):
        return text
    text, tail = _cut_tail(ordered(_without_marks(text), actions))
    node = _yaml().load(text)
    _keep_anchors(node)
    _order_inline(node, read(text).value, actions)
    stream = io.StringIO()
    _yaml().dump(node, stream)
    return _trimmed(_aligned(text, stream.getvalue()) + tail)


def _cut_tail(text: str) -> tuple[str, str]:
    """A document that is one pair of braces, and the comments behind it, which ruamel would drop."""
    tokens = yaml.scan(text, Loader=yaml.CSafeLoader)
    first = next((token for token in tokens if not isinstance(token, yaml.StreamStartToken)), None)
    gaps = list(_gaps(text))
    if not isinstance(first, yaml.FlowMappingStartToken) or not gaps or "#" not in gaps[-1][1]:
        return text, ""
    at = gaps[-1][0]
    return text[:at] + "\n", text[at:].lstrip("\n")


def _without_marks(text: str) -> str:
    """The text without `---` and `...`, which a file with one document does not need; directives stay with theirs."""
    tokens = [token for token in yaml.scan(text, Loader=yaml.CSafeLoader) if isinstance(token, _MARKS)]
    if any(isinstance(token, yaml.DirectiveToken) for token in tokens):
        return text
    for token in reversed(tokens):
        text = text[: token.start_mark.index] + text[token.end_mark.index :].lstrip(" \t").removeprefix("\n")
    return text


def _yaml() -> Any:
    """ruamel's round trip, with every plain scalar kept as it is written."""
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.resolver import VersionedResolver
    from ruamel.yaml.tag import Tag

    class AsWritten(VersionedResolver):  # type: ignore[misc, unused-ignore]
        """Knows texts, the empty value and merges, and no numbers, booleans or dates."""

        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            if kind is ScalarNode and implicit[0]:
                return Tag(suffix={"": f"{_CORE}null", "<<": f"{_CORE}merge"}.get(value, f"{_CORE}str"))
            return super().resolve(kind, value, implicit)

    made = YAML()
    made.Resolver = AsWritten
    made.preserve_quotes = True
    made.width = LIMITS.document_bytes
    made.indent(mapping=2, sequence=4, offset=2)
    made.allow_duplicate_keys = False
    return made


def _keep_anchors(node: Any) -> None:
    """Have anchors written that nothing refers to."""
    pending, seen = [node], set[int]()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        anchor = getattr(one, "anchor", None)
        if anchor is not None and anchor.value:
            anchor.always_dump = True
        if isinstance(one, dict):
            pending += list(one.values())
        elif isinstance(one, list):
            pending += one


def _order_inline(node: Any, value: Any, actions: Mapping[str, Action]) -> None:
    """Put the keys of mappings in braces in order, where no comment stands among them."""
    for path, order in records(value, actions):
        found = _at(node, path)
        if found is None or not hasattr(found, "fa") or not found.fa.flow_style() or found.ca.items or found.merge:
            continue
        keys = list(found)
        if all(isinstance(key, str) for key in keys) and (wanted := wanted_order(keys, order)) != keys:
            for key in wanted:
                found.move_to_end(key)


def _at(node: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _aligned(before: str, after: str) -> str:
    """The comments of the new text, each where what it belongs to stands: on a line of its own as far in as its neighbour,
    behind a value as far from it as before."""
    old, lines = before.split("\n"), after.split("\n")
    olds, news = list(_comment_places(before)), list(_comment_places(after))
    if len(olds) != len(news) or any(was.whole != now.whole for was, now in zip(olds, news, strict=True)):
        return after
    old_comments, new_comments = ({one.line for one in found if one.whole} for found in (olds, news))
    for was, now in zip(olds, news, strict=True):
        if not was.whole:
            content, comment = lines[now.line][: now.column].rstrip(), lines[now.line][now.column :]
            gap = was.column - len(old[was.line][: was.column].rstrip())
            lines[now.line] = content + " " * gap + comment
            continue
        column = _new_column(was, now, _Lines(old, old_comments), _Lines(lines, new_comments))
        lines[now.line] = " " * column + lines[now.line].lstrip()
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Comment:
    """Where a comment begins; `whole`: nothing else stands on its line."""

    line: int
    column: int
    whole: bool


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of a text, of which some are comments."""

    lines: list[str]
    comments: set[int]

    def content(self, at: int, step: int) -> Iterator[str]:
        """The lines of content from a line on, in a direction."""
        at += step
        while 0 <= at < len(self.lines):
            if self.lines[at].strip() and at not in self.comments:
                yield self.lines[at]
            at += step


def _new_column(was: _Comment, now: _Comment, old: _Lines, new: _Lines) -> int:
    """As far in as the line below, unless the comment stood further in, as a line above did: then as that one."""
    below, target = next(old.content(was.line, 1), None), next(new.content(now.line, 1), None)
    least = _indent(target) if target is not None else 0
    if was.column > (_indent(below) if below is not None else 0):
        for before, after in zip(old.content(was.line, -1), new.content(now.line, -1), strict=False):
            if _inner(before) == was.column:
                return max(least, _inner(after))
            if _indent(before) <= was.column:
                return max(least, _indent(after))
    return least


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _inner(line: str) -> int:
    """The column behind the dashes of a line."""
    found = re.match(r" *(?:- +)*", line)
    return found.end() if found else 0


def _gaps(text: str) -> Iterator[tuple[int, str]]:
    """What stands between tokens: blanks and comments, with where it begins."""
    at = 0
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        start, end = token.start_mark.index, token.end_mark.index
        if start > at:
            yield at, text[at:start]
        at = max(at, end)
    if at < len(text):
        yield at, text[at:]


def _comments(text: str) -> list[str]:
    return sorted(found[0].rstrip() for _, gap in _gaps(text) for found in _HASH.finditer(gap))


def _comment_places(text: str) -> Iterator[_Comment]:
    """All comments in their order."""
    for start, gap in _gaps(text):
        for found in _HASH.finditer(gap):
            at = start + found.start()
            line = text.rfind("\n", 0, at) + 1
            yield _Comment(text.count("\n", 0, at), at - line, not text[line:at].strip())


def _trimmed(text: str) -> str:
    """At most one blank line in a row outside of texts, none at the ends, and one line end at the last line."""
    made, at = [], 0
    for start, gap in _gaps(text):
        gap, end = _BLANKS.sub("\n\n", gap), start + len(gap)
        gap = gap.lstrip("\n") if start == 0 else gap
        made += [text[at:start], gap.rstrip() + "\n" if end == len(text) else gap]
        at = end
    return "".join([*made, text[at:]])
