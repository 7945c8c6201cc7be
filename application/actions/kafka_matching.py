"""Which message of Kafka a step waits for: an expression over the message, or what its parts must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from application.actions.config_values import known_keys, read_expression
from application.actions.partial import missing, missing_text
from application.engine.action import ActionContext, ActionError
from domain.expressions import ExpressionError

if TYPE_CHECKING:
    from application.actions.kafka_listening import Record

PARTS = ("key", "headers", "value", "json_path")
_SAME = {"header": "headers"}


class Matching:
    """Whether a message is one that the step waits for. `wanted` is the condition as people read it; `reason` says why the
    last message that was looked at is none, as far as there is more to say than that."""

    def __init__(self, given: Any, context: ActionContext) -> None:
        """ActionError `config` for what is no condition."""
        self.reason = ""
        self.wanted: str | None = None
        self._context = context
        self._conditions: list[Callable[[Record], bool]] = []
        if isinstance(given, Mapping):
            parts = _parts(given, context)
            self.wanted = json.dumps(parts, ensure_ascii=False, default=str)
            self._conditions = [self._part(name, wanted) for name, wanted in parts.items()]
        elif given is not None:
            if not isinstance(given, str) or not given.strip():
                raise ActionError("config", f"match must be an expression, as in value.id == 7, or an object of {_KNOWN}")
            self.wanted = given
            self._conditions = [lambda record: self._holds(given, {"message": record, **_names(record)})]

    def __call__(self, record: Record) -> bool:
        self.reason = ""
        return all(condition(record) for condition in self._conditions)

    def _part(self, name: str, wanted: Any) -> Callable[[Record], bool]:
        if name == "json_path":
            return lambda record: all(self._holds(text, {"$": record["value"]}) for text in wanted)

        def is_so(record: Record) -> bool:
            if name == "headers":
                self.reason = missing_text(wanted, record["headers"], "the header")
            elif name == "value":
                self.reason = missing(wanted, record["value"])
            else:
                self.reason = "" if record["key"] == str(wanted) else f"the key is {record['key']!r:.80}, not {wanted!r:.80}"
            return not self.reason

        return is_so

    def _holds(self, expression: str, names: Mapping[str, Any]) -> bool:
        try:
            held = self._context.evaluate(expression, names)
        except ExpressionError as error:
            if error.kind in ("syntax", "limit") or getattr(error, "root", False):
                raise
            self.reason = str(error)
            return False
        if not isinstance(held, bool):
            hint = "compare: value.id == 7"
            raise ActionError("config", f"match must be true or false, and is {held!r:.80}: {expression[:200]}", hint=hint)
        return held


_KNOWN = ", ".join(PARTS)


def _parts(given: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
    """The parts by their names; those of json_path as they are written, as each message is their `$`."""
    parts: dict[str, Any] = {}
    for written, value in given.items():
        name = _SAME.get(str(written), str(written))
        if name in parts:
            raise ActionError("config", f"match has {name} twice")
        parts[name] = _expressions(value) if name == "json_path" else context.render(value, {})
    known_keys(parts, PARTS, "match")
    if not parts:
        raise ActionError("config", f"match is empty: give it {_KNOWN}")
    if not isinstance(parts.get("headers", {}), Mapping):
        raise ActionError("config", "match.headers must be an object of names and values")
    return parts


def _expressions(value: Any) -> Sequence[str]:
    given = value if isinstance(value, list | tuple) else [value]
    return [read_expression(text, "match.json_path") for text in given]


def _names(record: Record) -> dict[str, Any]:
    return {name: record[name] for name in ("key", "value", "headers")}
