"""What chai says of the contents of lists, objects and texts: `keys`, `include` and `members`."""

from __future__ import annotations

from application.importing.postman_conditions import NotTranslated, Value, negation, part, truth
from application.importing.text import quoted, value_literal


def keys(subject: Value, marks: set[str], values: list[Value]) -> Value:
    """The keys of an object: exactly these, with `contain` these among others, with `any` at least one of them."""
    names: list[str] = []
    constants = [value.constant[0] if value.constant else None for value in values]
    if len(constants) == 1 and isinstance(constants[0], list | dict):
        constants = list(constants[0])
    for name in constants:
        if not isinstance(name, str):
            raise NotTranslated
        names.append(name)
    if not names or len(set(names)) != len(names):
        raise NotTranslated
    among = [f"{quoted(name)} in keys({subject.text})" for name in names]
    if "any" in marks:
        return truth(" || ".join(among))
    if "contain" in marks:
        return truth(" && ".join(among))
    return truth(f"sort(keys({subject.text})) == {value_literal(sorted(names))}")


def included(subject: Value, deep: bool, value: Value, negated: bool) -> Value:
    """A part of a text, an element of a list, or the properties of an object; `deep` compares by value."""
    found = value.constant[0] if value.constant else None
    if isinstance(found, dict):
        if not found or "length" in found or (holds_parts(value) and not deep) or (negated and len(found) > 1):
            raise NotTranslated
        parts = [part(subject, key) for key in found]
        same = " && ".join(f"{one.text} == {value_literal(wanted)}" for one, wanted in zip(parts, found.values(), strict=True))
        if negated:
            key = next(iter(found))
            same = f"{quoted(key)} in keys({subject.text}) && {same}"
        check = truth(same)
        if deep:
            check = truth(f"{subject.operand} is array ? {value.text} in {subject.operand} : ({same})")
        return negation(check) if negated else check
    if value.kind in ("array", "object") and not deep:
        raise NotTranslated
    return truth(f"{subject.operand} {'not ' if negated else ''}contains {value.operand}")


def members(subject: Value, marks: set[str], value: Value) -> Value:
    """The same elements in any order; with `include` among others."""
    listed = value.constant[0] if value.constant else None
    if not isinstance(listed, list) or (holds_parts(value) and "deep" not in marks):
        raise NotTranslated
    among = "contain" in marks
    if not among and listed and all(isinstance(one, str) for one in listed):
        return truth(f"sort({subject.text}) == {value_literal(sorted(listed))}")
    twice = any(one in listed[:place] for place, one in enumerate(listed))
    if "#" in subject.text or (twice and not among):
        raise NotTranslated
    size = "" if among else f" && len({subject.text}) == {len(listed)}"
    return truth(f"{subject.operand} is array{size} && all({value.text}, # in {subject.operand})")


def holds_parts(value: Value) -> bool:
    """Whether a literal holds lists or objects, which are compared by identity where nothing is deep."""
    if value.constant is None:
        return value.kind == "object"
    inside = value.constant[0]
    listed = inside.values() if isinstance(inside, dict) else inside if isinstance(inside, list) else ()
    return any(isinstance(one, list | dict) for one in listed)
