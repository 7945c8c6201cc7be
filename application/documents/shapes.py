"""Shapes: what a single value in a document may be. Each checks a value, and says the same as JSON Schema."""

from __future__ import annotations

import re
from typing import Any, Protocol

from application.documents.source import did_you_mean
from domain.definition import Path
from domain.values import dataclass

SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
Schema = dict[str, Any]
TEMPLATE_SCHEMA: Schema = {"type": "string", "pattern": r"\$\{|\{\{"}
DURATION_SCHEMA: Schema = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]+)?\s*[A-Za-zµ]*\s*)+$"}]
}


class Checking(Protocol):
    """What a shape may ask and tell while it checks."""

    def error(self, path: Path, title: str, remedy: str | None = None, *, key: bool = False) -> None: ...

    def template(self, path: Path, text: str) -> None:
        """Report what is wrong with the templates of a text."""

    def expression(self, path: Path, text: str) -> None:
        """Report what is wrong with an expression."""

    def duration(self, value: str | float) -> float | None:
        """Seconds, or None if it is no duration."""

    def line(self, path: Path) -> str:
        """The source line on which a value begins."""

    def steps(self, value: list[Any], path: Path) -> None:
        """Check a list of steps."""


class Shape:
    """A kind of value. `label` completes the sentence "must be ..."."""

    label = "a value"

    def fits(self, value: Any) -> bool:
        """Whether the value is of the right kind, its content aside."""
        return True

    def check(self, value: Any, path: Path, checking: Checking) -> None:
        """Report what is wrong with a value."""
        if self.fits(value):
            self.inside(value, path, checking)
        else:
            checking.error(path, f"{name_of(path)} must be {self.label}, not {describe(value)}", _remedy(self, value))

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        """Report what is wrong with the content of a value of the right kind."""

    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {}


@dataclass(frozen=True, eq=False, repr=False)
class Text(Shape):
    """A string with templates. Numbers count as they are written, so that `version: 1.10` needs no quotes."""

    minimum: int = 0
    maximum: int | None = None
    pattern: str | None = None
    numbers: bool = True
    label = "a text"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) or (self.numbers and _number(value))

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        text = str(value)
        if len(text.strip()) < self.minimum:
            checking.error(path, f"{name_of(path)} is empty", "give it a text")
        elif self.maximum is not None and len(text) > self.maximum:
            checking.error(
                path, f"{name_of(path)} has {len(text)} characters; at most {self.maximum} are allowed", "shorten it"
            )
        elif self.pattern is not None and not re.fullmatch(self.pattern, text):
            remedy = "use letters, digits, _ and -, and begin with a letter or _"
            checking.error(path, f'"{text}" cannot be used as {name_of(path)}', remedy)
        elif isinstance(value, str):
            checking.template(path, value)

    def schema(self) -> Schema:
        text: Schema = {"type": ["string", "number"] if self.numbers else "string"}
        if self.minimum:
            text |= {"minLength": self.minimum, "pattern": r"\S"}
        if self.maximum is not None:
            text["maxLength"] = self.maximum
        return text | ({"pattern": f"^{self.pattern}$"} if self.pattern else {})


@dataclass(frozen=True)
class Address(Text):
    """A text that begins with one of these schemes, or with none. The text is not quoted: it may hold a password."""

    schemes: tuple[str, ...] = ()

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        scheme = SCHEME.match(str(value))
        if scheme is None or scheme[1].lower() in self.schemes:
            return super().inside(value, path, checking)
        remedy = did_you_mean(scheme[1].partition("+")[0], self.schemes)
        return checking.error(path, f'{name_of(path)} cannot begin with "{scheme[1]:.40}:"', remedy)


class Bool(Shape):
    label = "true or false"

    def fits(self, value: Any) -> bool:
        return isinstance(value, bool)

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, eq=False, repr=False)
class Integer(Shape):
    minimum: int | None = None
    maximum: int | None = None

    @property
    def label(self) -> str:  # type: ignore[override]
        return "a whole number" if self.minimum is None else f"a whole number from {self.minimum} to {self.maximum}"

    def fits(self, value: Any) -> bool:
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def schema(self) -> Schema:
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": "integer", **{key: value for key, value in bounds.items() if value is not None}}


class Number(Shape):
    label = "a number"

    def fits(self, value: Any) -> bool:
        return _number(value)

    def schema(self) -> Schema:
        return {"type": "number"}


class Duration(Shape):
    label = "a duration such as 500ms, 2s or 1m30s, or seconds as a number"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) or (_number(value) and value >= 0)

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if checking.duration(value) is None:
            checking.error(path, f'"{value}" is not a duration', "write it like 500ms, 2s, 1m30s or 1h")

    def schema(self) -> Schema:
        return DURATION_SCHEMA


class Expression(Shape):
    """An expression; `true` and `false` may stand without quotes."""

    label = "an expression"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str | bool)

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if isinstance(value, str):
            checking.expression(path, value)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string", "minLength": 1}, {"type": "boolean"}]}


class OutputPath(Shape):
    """Where an output is found in the result."""

    label = "a path such as body.id or $.body.id"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and bool(value.strip())

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if "{" in value:
            checking.template(path, value)
        else:
            checking.expression(path, value.rstrip().removesuffix("?"))

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, eq=False, repr=False)
class Choice(Shape):
    options: tuple[str, ...] = ()

    @property
    def label(self) -> str:  # type: ignore[override]
        return "one of " + ", ".join(self.options)

    def fits(self, value: Any) -> bool:
        return isinstance(value, str)

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if value not in self.options:
            checking.error(path, f'{name_of(path)} cannot be "{value}"', did_you_mean(value, self.options))

    def schema(self) -> Schema:
        return {"enum": list(self.options)}


class Anything(Shape):
    """Any value; the templates in it are checked."""

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        for place, text in texts(value, path):
            checking.template(place, text)


class Mapped(Anything):
    label = "a mapping"

    def fits(self, value: Any) -> bool:
        return isinstance(value, dict)

    def schema(self) -> Schema:
        return {"type": "object"}


class Listed(Anything):
    label = "a list"

    def fits(self, value: Any) -> bool:
        return isinstance(value, list)

    def schema(self) -> Schema:
        return {"type": "array"}


def texts(value: Any, path: Path) -> list[tuple[Path, str]]:
    """Every string in a value with its path, in order."""
    found: list[tuple[Path, str]] = []
    _collect(value, path, found)
    return found


def _collect(value: Any, path: Path, found: list[tuple[Path, str]]) -> None:
    kind = type(value)
    if kind is str:
        found.append((path, value))
    elif kind is dict or kind is list:
        for key, item in value.items() if kind is dict else enumerate(value):
            if type(item) is str:
                found.append(((*path, key), item))
            else:
                _collect(item, (*path, key), found)


def name_of(path: Path) -> str:
    """The last name in a path, in quotes, for a sentence: `"timeout"`, or `item 2 of "tags"`."""
    if not path:
        return "The document"
    last = path[-1]
    return f'"{last}"' if isinstance(last, str) else f"item {last + 1} of {name_of(path[:-1])}"


def describe(value: Any) -> str:
    """A value's kind, and a short value itself."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return f'the text "{value[:40]}"' if isinstance(value, str) else str(value)[:40]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _remedy(shape: Shape, value: Any) -> str | None:
    if value is None:
        return "give it a value, or remove the key"
    if isinstance(value, bool | int | float) and isinstance(shape, Text | OutputPath | Choice):
        return "put it in quotes"
    if isinstance(value, str) and re.fullmatch(r"-?[0-9.]+|true|false", value) and not isinstance(shape, Mapped | Listed):
        return "remove the quotes"
    return None
