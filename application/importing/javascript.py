"""The outline of JavaScript: statements, arguments, member chains and string literals, told apart without running anything."""

from __future__ import annotations

import re
from collections.abc import Iterator

_QUOTES = "'\"`"
_OPEN = {"(": ")", "[": "]", "{": "}"}
_STRING = re.compile(r"'((?:[^'\\\n]|\\.)*)'|\"((?:[^\"\\\n]|\\.)*)\"|`((?:[^`\\$]|\\.)*)`", re.DOTALL)
_PATTERN = re.compile(r"/(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_WINDOW = 200
"""Characters around a line end that tell whether a statement goes on."""
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\n": ""}
_TEST = re.compile(r"pm\.test\s*\(")
_FUNCTION = re.compile(r"(?:async\s+)?(?:function\s*\w*\s*\([^)]*\)|\([^)]*\)\s*=>|\w+\s*=>)\s*", re.DOTALL)


def statements(text: str) -> Iterator[str]:
    """The statements of a script or function body, without comments. Blocks (`if`, loops) are one statement each."""
    begun = 0
    for at, kind in _marks(text):
        if kind == ";" or (kind == "\n" and not _continued(text[max(begun, at - _WINDOW) : at], text[at : at + _WINDOW])):
            if piece := without_comments(text[begun:at]).strip():
                yield piece
            begun = at + 1
    if piece := without_comments(text[begun:]).strip().removesuffix(";"):
        yield piece


def arguments(text: str) -> list[str]:
    """The parts of a list of arguments."""
    found, begun = [], 0
    for at, kind in _marks(text, ","):
        if kind == ",":
            found.append(text[begun:at].strip())
            begun = at + 1
    found.append(text[begun:].strip())
    return [part for part in found if part]


def bodies(text: str) -> tuple[str, list[str]] | None:
    """The name of a `pm.test` and the statements of its function; None when it has another form."""
    match = _TEST.match(text)
    if match is None or not text.rstrip().endswith(")"):
        return None
    given = arguments(text[match.end() : text.rindex(")")])
    name = string(given[0]) if len(given) == 2 else None
    function = _FUNCTION.match(given[1]) if name is not None else None
    if name is None or function is None:
        return None
    body = given[1][function.end() :].strip()
    if body.startswith("{") and body.endswith("}"):
        body = body[1:-1]
    return name, list(statements(body))


def path_parts(text: str) -> list[str] | None:
    """`a.b[0]("x")` as `a`, `b`, `[0]`, `("x")`; None when it is no chain of members, indexes and calls."""
    match = re.match(r"[A-Za-z_$][\w$]*", text)
    if match is None:
        return None
    parts, at = [match[0]], match.end()
    while at < len(text):
        if text[at] in "([":
            end = closing(text, at)
            if end is None:
                return None
            parts.append(text[at : end + 1])
            at = end + 1
        elif found := re.compile(r"\s*\??\.\s*([A-Za-z_$][\w$]*)|\s*\?\.(?=\[)|\s+").match(text, at):
            if found[1]:
                parts.append(found[1])
            at = found.end()
        else:
            return None
    return parts


def string(text: str) -> str | None:
    """The text of a string literal; None for all else, templates with substitutions included."""
    match = _STRING.fullmatch(text.strip())
    if match is None:
        return None
    inside = next(group for group in match.groups() if group is not None)
    return unescaped(inside)


def unescaped(text: str) -> str:
    """The text with its escapes read."""
    return _ESCAPE.sub(_meaning, text)


def without_comments(text: str) -> str:
    """The text without `//` and `/* */`, strings and patterns left alone."""
    made, at = [], 0
    while at < len(text):
        end = _skipped(text, at)
        if end is None:
            made.append(text[at])
            at += 1
            continue
        if not text.startswith(("//", "/*"), at):
            made.append(text[at:end])
        at = end
    return "".join(made)


def _marks(text: str, extra: str = "") -> Iterator[tuple[int, str]]:
    """Semicolons, line ends and the extra characters that stand outside of brackets, strings, patterns and comments."""
    depth, at = 0, 0
    while at < len(text):
        character = text[at]
        end = _skipped(text, at)
        if end is not None:
            at = end
            continue
        depth += (character in _OPEN) - (character in ")]}")
        if depth <= 0 and (character in (";", "\n") or (extra and character in extra)):
            yield at, character
        at += 1


def _skipped(text: str, at: int) -> int | None:
    """The end of the comment, string or pattern that begins at a place; None when none does."""
    if text[at] in _QUOTES:
        return string_end(text, at)
    if text[at] != "/":
        return None
    if text.startswith("//", at):
        end = text.find("\n", at)
        return len(text) if end < 0 else end
    if text.startswith("/*", at):
        end = text.find("*/", at + 2)
        return len(text) if end < 0 else end + 2
    pattern = _PATTERN.match(text, at) if text[max(0, at - 20) : at].rstrip()[-1:] in ("", "(", ",", "=") else None
    return pattern.end() if pattern else None


def string_end(text: str, at: int) -> int:
    """The end of the string or template literal that begins at a place."""
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote and (quote == "`" or text[at] != "\n"):
        at += 2 if text[at] == "\\" else 1
    return min(at + 1, len(text))


def closing(text: str, at: int) -> int | None:
    """Where the bracket at a place is closed."""
    depth = 0
    while at < len(text):
        end = _skipped(text, at)
        if end is not None:
            at = end
            continue
        depth += (text[at] in _OPEN) - (text[at] in ")]}")
        if depth == 0:
            return at
        at += 1
    return None


def _continued(before: str, after: str) -> bool:
    """Whether a line end does not end the statement: something stands before it, and it or the next line goes on."""
    left = without_comments(before).strip()
    if not left:
        return False
    goes_on = left.endswith(("=", "(", ",", "+", "&&", "||", "=>", "."))
    return goes_on or without_comments(after).strip().startswith((".", "?", "&&", "||", "else", "catch"))


def _meaning(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "ux" and len(code) > 1:
        return chr(int(code[1:], 16))
    return _SIMPLE.get(code, code)
