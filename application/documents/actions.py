"""The config of a step, checked against what its action declares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from application.documents.grammar import ASSERTIONS
from application.documents.language import is_template
from application.documents.records import Branches, Either, Record, Steps
from application.documents.records import Key as RecordKey
from application.documents.shapes import (
    TEMPLATE_SCHEMA,
    Address,
    Anything,
    Bool,
    Checking,
    Choice,
    Duration,
    Expression,
    Integer,
    Listed,
    Mapped,
    Number,
    Schema,
    Shape,
    Text,
)
from application.engine.action import Action, Key
from domain.definition import Path

CHECKS_INSIDE = "assert"
_SHAPES: dict[str, Shape] = {
    "steps": Steps(),
    "branches": Branches(),
    "boolean": Bool(),
    "integer": Integer(),
    "number": Number(),
    "duration": Duration(),
    "expression": Expression(),
    "assertions": ASSERTIONS,
    "string": Text(),
    "object": Mapped(),
    "array": Listed(),
    "any": Anything(),
}
"""The shapes of the value types, the narrowest first."""


class ConfigValue(Either):
    """A value of one of the declared types, or a string with a template in the place of any."""

    @cached_property
    def looks_inside(self) -> bool:
        """Whether a shape has more to say of a text than whether its templates can be read."""
        return any(isinstance(shape, Expression | Address) for shape in self.shapes)

    def check(self, value: Any, path: Path, checking: Checking) -> None:
        shape = self.chosen(value)
        if not self.looks_inside and isinstance(value, str) and is_template(value):
            checking.template(path, value)
        elif shape is not None:
            shape.inside(value, path, checking)
        else:
            super().check(value, path, checking)

    def fits(self, value: Any) -> bool:
        return super().fits(value) or (isinstance(value, str) and is_template(value))

    def schema(self) -> Schema:
        shapes = [shape.schema() for shape in self.shapes]
        return {} if {} in shapes else {"anyOf": [*shapes, TEMPLATE_SCHEMA]}


def find_action(name: str, actions: Mapping[str, Action]) -> Action | None:
    """The action of that name or alias; `mysql.query` is also found by an alias `mysql.*`."""
    return actions.get(name) or actions.get(f"{name.split('.', 1)[0]}.*")


@cache
def config_record(action: Action) -> Record:
    """The declared keys of an action as a record."""
    groups: dict[str, list[str]] = {}
    for name, key in action.keys.items():
        if key.one_of:
            groups.setdefault(key.one_of, []).append(name)
    keys = {
        name: RecordKey(_shape(key), key.required, key.description, aliases=key.aliases) for name, key in action.keys.items()
    }
    keys.setdefault(CHECKS_INSIDE, RecordKey(ASSERTIONS, description="The same as assert beside config; both count."))
    return Record(keys, what=action.name, one_of=tuple(tuple(group) for group in groups.values()))


def canonical_name(action: Action, name: str) -> str:
    """The config key that a name or alias means."""
    return config_record(action).other_names.get(name, name)


def holds_checks(action: Action, name: str) -> bool:
    """Whether a config key holds assertions of the step: `assert`, which every action knows."""
    return name == CHECKS_INSIDE and name not in action.keys


def takes_steps(key: Key) -> bool:
    """Whether the key holds nested steps."""
    return "steps" in key.types


def takes_branches(key: Key) -> bool:
    """Whether the key holds lists of nested steps by name."""
    return "branches" in key.types


def takes_text_only(key: Key) -> bool:
    """Whether a number given for the key means its text as written."""
    return "string" in key.types and not {"any", "number", "integer", "duration"} & set(key.types)


def _shape(key: Key) -> Shape:
    if key.choices:
        return ConfigValue((Choice(key.choices), *(_SHAPES[kind] for kind in key.types if kind not in ("string", "any"))))
    shapes = {**_SHAPES, "string": Address(schemes=key.schemes)} if key.schemes else _SHAPES
    return ConfigValue(tuple(shape for kind, shape in shapes.items() if kind in key.types))
