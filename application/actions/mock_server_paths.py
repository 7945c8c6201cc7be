"""Paths of mock endpoints: `/users/:id`, `/users/{id}.json`, `/files/*`; matched in linear time, however they are written."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

from application.engine.action import ActionError
from domain.values import dataclass

_PART = re.compile(r":(?P<colon>[A-Za-z_]\w*)|\{(?P<brace>[A-Za-z_]\w*)\}|(?P<star>\*{1,2})|(?P<text>[^:{*]+|.)")
_REST = "rest_of_path"
_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path as written, and what it matches: paths in canonical form."""

    text: str
    pattern: Any

    def match(self, path: str) -> dict[str, str] | None:
        """The values of its parts by name, decoded, that of a star as `*`; None when another path is meant, which is given in
        canonical form."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        return {("*" if name == _REST else name): unquote(value or "") for name, value in found.groupdict().items()}


def canonical(path: str) -> str:
    """The path with every character but letters, digits and `_.-~` percent-encoded, the same for all its spellings."""
    return "/".join(quote(unquote(segment), safe="") for segment in path.split("/"))


def read_path(text: Any) -> PathPattern:
    """The pattern. ActionError `config` for what is no path."""
    if not isinstance(text, str) or not text.startswith(("/", "*")) or len(text) > _LONGEST:
        raise ActionError("config", f"the path of an endpoint begins with a slash: {str(text)[:80]!r}")
    if "?" in text or "#" in text:
        raise ActionError("config", f"the path {text[:80]!r} has a query", hint="write match: {query: {name: value}}")
    import re2  # linear in the length of the path; the standard library's is not

    names: set[str] = set()
    segments = text.split("/")
    parts = [_segment(segment, names, last=number == len(segments) - 1) for number, segment in enumerate(segments)]
    return PathPattern(text, re2.compile("/".join(parts)))


def _segment(text: str, names: set[str], *, last: bool) -> str:
    parts = []
    for found in _PART.finditer(text):
        name = found["colon"] or found["brace"]
        if name is not None and (found["brace"] or found.start() == 0):
            parts.append(f"(?P<{_fresh(name, names)}>[^/]+)")
        elif found["star"]:
            everything = found["star"] == "**" or (last and text == "*")
            body = ".*" if everything else "[^/]*"
            parts.append(f"(?P<{_REST}>{body})" if everything and _REST not in names else body)
            names |= {_REST} if everything else set()
        else:
            parts.append(re.escape(quote(unquote(found[0]), safe="")))
    return "".join(parts)


def _fresh(name: str, names: set[str]) -> str:
    if name in names:
        raise ActionError("config", f"a path has two parts called {name!r}")
    names.add(name)
    return name
