"""Templates of a flow for other tools: known variables resolved, all others in the other tool's own spelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain.expressions import ExpressionError, Scope, evaluate, is_template
from domain.expressions import syntax as s
from domain.expressions.template import template
from domain.expressions.values import to_text

Spelling = Callable[[str, bool], str]
"""How the other tool writes an expression; the flag says that it is a plain name."""


class Resolver:
    """Resolves texts and values. `known` are variables with their values, which may be templates themselves."""

    def __init__(self, known: Mapping[str, Any], spelling: Spelling) -> None:
        self._spelling = spelling
        self._known: dict[str, Any] = {}
        for name, value in known.items():
            resolved = self._whole(value)
            if resolved is not None:
                self._known[name] = resolved[0]

    def text(self, text: str) -> str:
        """The text with its templates resolved or spelled anew; one that cannot be parsed stays as it is."""
        if not is_template(text):
            return text
        try:
            parts = template(text).parts
        except ExpressionError:
            return text
        return "".join(self._part(part, text) for part in parts)

    def value(self, value: Any) -> Any:
        """The value with every text in it so; a template that is the whole text keeps the type of what is known."""
        if isinstance(value, str):
            whole = self._whole(value)
            return whole[0] if whole is not None else self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list | tuple) else value

    def _whole(self, value: Any) -> tuple[Any] | None:
        """The value in a tuple if everything that it reads is known."""
        if not isinstance(value, str) or not is_template(value):
            return (value,)
        try:
            found = template(value)
            if found.names() <= self._known.keys() and not any(_made_up(part) for part in found.parts):
                return (found.render(Scope(self._known)),)
        except ExpressionError:
            return None
        return None

    def _part(self, part: s.Node, text: str) -> str:
        if isinstance(part, s.Constant):
            return to_text(part.value)
        if isinstance(part, s.Defaulted):
            known = self._known.get(part.name)
            return to_text(known) if part.name in self._known else part.default
        source = text[part.start : part.end]
        if s.free_names(part) <= self._known.keys() and not _made_up(part):
            try:
                return to_text(evaluate(source, Scope(self._known)))
            except ExpressionError:
                pass
        return self._spelling(source.strip(), isinstance(part, s.Name))


def _made_up(part: s.Node) -> bool:
    """Whether an expression reads what only a running step has."""
    return any(
        isinstance(node, s.Root | s.Query) or (isinstance(node, s.Call) and node.function == "now") for node in s.walk(part)
    )
