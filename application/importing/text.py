"""Texts of drafts: literal ones, templates, and names made from what other tools call things."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

_OPENING = re.compile(r"\$\{|\{\{")
_ESCAPES = {"${": "$${", "{{": "{{ '{{' }}"}
_TRAILING_DOLLARS = re.compile(r"\$+\Z")
_UNREADABLE = re.compile("[\0\ud800-\udfff\ufeff\ufffe\uffff]")
_WORD = re.compile(r"[^A-Za-z0-9]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


_WORDS = (
    "and or not in is contains matches let true false null nil exists error env inputs input vars variables response"
    " result output outputs steps flow execution attempt random uuid timestamp body status headers text cookies item"
    " index key value loop"
)
RESERVED = frozenset(_WORDS.split())
"""Names that mean something else in a flow, and are never given to a variable or a step."""


class Template(str):
    """A text that is a template already. A plain `str` in a draft is literal, whatever it looks like."""

    __slots__ = ()


def refer(expression: str) -> Template:
    """The template of an expression."""
    return Template(f"${{{expression}}}")


def literal(text: str) -> str:
    """The text with whatever would be read as a template escaped."""
    return _OPENING.sub(lambda found: _ESCAPES[found[0]], text)


def rendered(text: str) -> str:
    """What is written into the flow for a text of a draft."""
    return str(text) if isinstance(text, Template) else literal(clean(text))


def compose(parts: Iterable[str]) -> str:
    """Texts and templates one after another: a plain text when there is no template among them."""
    listed = [part for part in parts if part]
    if not any(isinstance(part, Template) for part in listed):
        return "".join(listed)
    written = []
    for place, part in enumerate(listed):
        text = rendered(part)
        if not isinstance(part, Template) and place + 1 < len(listed):
            text = _TRAILING_DOLLARS.sub(lambda found: f"${{'{found[0]}'}}", text)
        written.append(text)
    return Template("".join(written))


def clean(text: str) -> str:
    """The text without what no document may hold: NUL, lone surrogates and non-characters become U+FFFD."""
    return _UNREADABLE.sub("\ufffd", text)


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every text in it changed, keys left alone."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    return value


def url_parts(url: str) -> SplitResult:
    """The parts of a URL; of one that cannot be read, nothing."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def slug(text: str, default: str = "step", most: int = 60) -> str:
    """A name in lower case, of letters, digits and `_`; never a path, never empty."""
    flat = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = _WORD.sub("_", _HUMP.sub("_", flat)).strip("_").lower()[:most].strip("_")
    if not words:
        return default
    return words if words[0].isalpha() else f"{default}_{words}"


def file_slug(text: str, default: str = "flow") -> str:
    """A file's name without suffix, in lower case with hyphens."""
    return slug(text, default).replace("_", "-")


def free(name: str, taken: Iterable[str]) -> str:
    """The name, numbered when it is taken or means something else."""
    used = {*taken, *RESERVED}
    if name not in used:
        return name
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"


def member(path: str, key: str | int) -> str:
    """The path one step further, by a dot where the language allows it."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if _PLAIN_NAME.fullmatch(key) else f"{path}[{quoted(key)}]"


def quoted(text: str) -> str:
    """A text as a literal of the expression language, in which nothing is a template."""
    inside = clean(text).replace("\\", "\\\\").replace("'", "\\'")
    for character, name in _NAMED.items():
        inside = inside.replace(character, name)
    if _OPENING.search(text):
        inside = inside.replace("$", "\\x24").replace("{", "\\x7b")
    return f"'{inside}'"


def value_literal(value: Any) -> str:
    """A plain value as a literal of the expression language."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(value_literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(str(key))}: {value_literal(item)}" for key, item in value.items()) + "}"
    return quoted(str(value))


def in_project(file: str) -> bool:
    """Whether a path may name a file below the project's folder."""
    return bool(file) and not file.startswith(("/", "~", "-")) and "\\" not in file and ".." not in file.split("/")
