"""What documents ask of the expression language: is a text well formed, and which root names does it read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from domain import expressions as language
from domain.values import dataclass

_ROOT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP = re.compile(r"""(?<![\w.])steps\s*\[\s*["']([\w-]+)["']\s*\]""")
"""A step that is read by the text of its id."""
_DEFAULT = r"(?<![\w.$]){name}\b(?:[\w.?!-]|\[[^\]]*\])*\s*\?\?|\$\{{\s*{name}:"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a text, and at which character."""

    message: str
    offset: int = 0
    hint: str | None = None


def is_template(text: str) -> bool:
    """Whether a text holds a template."""
    return "{" in text and language.is_template(text)


def template_faults(text: str) -> tuple[Fault, ...]:
    """Why the templates of a text cannot be parsed; empty if they can."""
    if "{" not in text:
        return ()
    return tuple(Fault(error.message, error.offset or 0, error.hint) for error in language.template_errors(text))


def expression_faults(text: str) -> tuple[Fault, ...]:
    """Why an expression cannot be parsed; empty if it can."""
    try:
        language.parse(text)
    except language.ExpressionError as error:
        return (Fault(error.message, error.offset or 0, error.hint),)
    return ()


@lru_cache(maxsize=1024)
def template_names(text: str) -> frozenset[str]:
    """The root names that a text's templates read; none if they cannot be parsed."""
    if "{" not in text or template_faults(text):
        return frozenset()
    names = frozenset(language.template_names(text))
    return names | frozenset(_STEP.findall(text)) if "steps" in names else names


@lru_cache(maxsize=1024)
def expression_names(text: str) -> frozenset[str]:
    """The root names that an expression reads, those of templates inside it included; none if it cannot be parsed."""
    if expression_faults(text):
        return frozenset()
    return template_names("${" + text + "}") | template_names(text)


def path_names(text: str) -> frozenset[str]:
    """The root name that an output path begins with, if it has one, and those of its templates."""
    match = _ROOT.match(text)
    return template_names(text) | (frozenset({match.group()}) if match else frozenset())


def has_default(text: str, name: str) -> bool:
    """Whether the text gives a default where the name is undefined: `name ?? x` or `${name:x}`."""
    return re.search(_DEFAULT.format(name=re.escape(name)), text) is not None


def strings(value: Any) -> Iterator[str]:
    """Every string in a value, keys excluded."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
