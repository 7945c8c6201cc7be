"""Templates: texts with expressions in them, parsed once; what a value brings in is never parsed again."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from domain.expressions import syntax as s
from domain.expressions.compiler import Compiler
from domain.expressions.errors import Absent, ExpressionError, Fault
from domain.expressions.evaluator import evaluate
from domain.expressions.frame import Code, Frame, bounded_text
from domain.expressions.parser import parse_parts
from domain.expressions.scope import Scope
from domain.expressions.values import to_text
from domain.limits import LIMITS


class Template:
    """A parsed text: one expression that keeps its type, or parts that print one after another."""

    __slots__ = ("_codes", "parts", "text", "whole")

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = parse_parts(text, 0, len(text), escapes=False)
        self.whole = len(self.parts) == 1
        self._codes: list[Code] | None = None

    def names(self) -> frozenset[str]:
        """The root names that it reads."""
        return frozenset[str]().union(*(s.free_names(part) for part in self.parts))

    def render(self, scope: Scope) -> Any:
        """The value, or the text; ExpressionError when a part has none."""
        if self._codes is None:
            compiler = Compiler(self.text)
            self._codes = [compiler.compile(part) for part in self.parts]
        frame = Frame(scope, self.text)
        try:
            if self.whole:
                return self._codes[0](frame)
            texts = [to_text(code(frame)) for code in self._codes]
            bounded_text(sum(map(len, texts)))
        except Fault as fault:
            raise fault.at(0, self.text) from None
        except RecursionError:
            raise ExpressionError("the template is nested too deeply", 0, self.text[:100], None, "limit") from None
        return "".join(texts)


def is_template(value: str) -> bool:
    """Whether a text has anything to resolve, or an escape to undo."""
    return "${" in value or "{{" in value


@lru_cache(maxsize=4096)
def template(text: str) -> Template:
    """The parsed template of a text. ExpressionError says what is wrong and where."""
    if len(text) > LIMITS.string_bytes:
        raise ExpressionError(f"a text with templates has at most {LIMITS.string_bytes} bytes", 0, text[:100], None, "limit")
    return Template(text)


def render(value: Any, scope: Scope) -> Any:
    """The value with every template in it resolved: in texts, and in lists and objects (keys too)."""
    if isinstance(value, str):
        return template(value).render(scope) if is_template(value) else value
    if isinstance(value, dict):
        return {
            (to_text(render(key, scope)) if isinstance(key, str) else key): render(item, scope) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [render(item, scope) for item in value]
    return value


def template_names(value: Any) -> frozenset[str]:
    """The root names that the templates of a value read; texts that cannot be parsed read none."""
    names: set[str] = set()
    for text in _texts(value):
        try:
            names |= template(text).names()
        except ExpressionError:
            continue
    return frozenset(names)


def template_errors(value: Any) -> list[ExpressionError]:
    """What is wrong with the templates of a value."""
    errors = []
    for text in _texts(value):
        try:
            template(text)
        except ExpressionError as error:
            errors.append(error)
    return errors


def _texts(value: Any) -> list[str]:
    found, pending = [], [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if is_template(item):
                found.append(item)
        elif isinstance(item, dict):
            pending.extend(item.values())
            pending.extend(item.keys())
        elif isinstance(item, list | tuple):
            pending.extend(item)
    return found


def extract(path: str, scope: Scope) -> Any:
    """The value at an output path in any of its dialects; a missing one is an error unless the path ends with `?`."""
    if is_template(path):
        return render(path, scope)
    stripped = path.strip()
    optional = stripped.endswith("?")
    text = stripped[:-1] if optional else stripped
    try:
        return evaluate(text, scope)
    except Absent as error:
        again = _in_the_result(text, scope)
        if again is not None:
            return again[0]
        if optional:
            return None
        raise error from None


def _in_the_result(text: str, scope: Scope) -> tuple[Any] | None:
    """`$.id` means the body first, then the result."""
    if not text.startswith("$.") or scope.result is None:
        return None
    try:
        return (evaluate("result" + text[1:], scope),)
    except ExpressionError:
        return None
