"""The action `transform`: a value through a list of operations: extract, filter, map, join, group and others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from application.engine.action import Action, ActionContext, ActionError, Key
from domain.definition import Path as Place
from domain.expressions import is_template
from domain.expressions.errors import ExpressionError, Fault, did_you_mean
from domain.values import dataclass

if TYPE_CHECKING:
    from application.actions.transform_operations import Operation
    from application.actions.transform_work import Work

_NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
_TAKEN = ("result", "count", "item", "index", "input")
_MOST = 100
_BY = ("sort", "group", "unique", "join", "sum", "avg", "min", "max")
_ALONE = ("flatten", "unique", "count", "sort", "sum", "avg", "min", "max")


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation: what it is called and given, where its value comes from, and what its result is called."""

    name: str
    operation: Operation
    given: Any
    source: str | None
    save_as: str | None


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Run the operations one after another; ActionError says which of them, and which item, cannot be done."""
    from application.actions.transform_work import Work

    steps = _steps(config)
    first = value = _input(config, context)
    work = Work(context, first)
    for number, step in enumerate(steps, 1):
        value = await _done(work, f"operation {number} ({step.name})", step, _source(step, value, first, work))
        if step.save_as is not None:
            work.saved[step.save_as] = value
    return {"result": value, "count": _count(value), **work.saved}


async def _done(work: Work, place: str, step: _Step, value: Any) -> Any:
    from application.actions.transform_work import Wrong, told

    try:
        return await step.operation(work, value, step.given)
    except ExpressionError as error:
        wrong = told(error)
    except Fault as fault:
        wrong = Wrong(fault.message, fault.hint, "limit" if fault.kind == "limit" else "transform")
    except Wrong as error:
        wrong = error
    except OverflowError:
        wrong = Wrong("a number is too large")
    except RecursionError:
        wrong = Wrong("the value is nested too deeply", kind="limit")
    raise ActionError(wrong.kind, f"{place}: {wrong.message}", hint=wrong.hint) from None


def _input(config: Mapping[str, Any], context: ActionContext) -> Any:
    from application.actions.json_values import depth_of
    from application.actions.project_files import read_data

    if config.get("input_file") is not None:
        if config.get("input") is not None:
            raise ActionError("config", "input and input_file are both given: leave one out")
        value = read_data("input_file", config["input_file"], context)
    else:
        value = config.get("input")
    if depth_of(value, context.limits.json_depth) > context.limits.json_depth:
        raise ActionError("limit", f"the input is nested more than {context.limits.json_depth} deep")
    return value


def _source(step: _Step, value: Any, first: Any, work: Work) -> Any:
    if step.source is None:
        return value
    known = {**work.saved, "input": first}
    if step.source not in known:
        hint = did_you_mean(step.source, known) or f"there is: {', '.join(known)}"
        raise ActionError("config", f"{step.name}: no operation before it saves {step.source[:80]!r}", hint=hint)
    return known[step.source]


def _steps(config: Mapping[str, Any]) -> list[_Step]:
    given = config.get("operations")
    if not isinstance(given, list | tuple) or not given:
        raise ActionError("config", "operations must be a list of operations")
    if len(given) > _MOST:
        raise ActionError("limit", f"there are more than {_MOST} operations")
    steps = [_step(item, number) for number, item in enumerate(given, 1)]
    saved = [step.save_as for step in steps if step.save_as is not None]
    if len(saved) != len(set(saved)):
        raise ActionError("config", f"two operations save as {next(name for name in saved if saved.count(name) > 1)!r}")
    return steps


def _step(item: Any, number: int) -> _Step:
    from application.actions.transform_operations import OPERATIONS

    place = f"operation {number}"
    if isinstance(item, str) and item in _ALONE:
        item = {item: True}
    if not isinstance(item, Mapping):
        raise ActionError("config", f"{place} must be an object such as {{filter: item.price > 10}}")
    if "type" in item:
        from application.actions.transform_typed import typed_operation

        name, operation = typed_operation(item, place)
        return _Step(name, operation, None, None, _save_as(item, place))
    names = [str(name) for name in item if name not in ("save_as", "from")]
    unknown = [name for name in names if name not in OPERATIONS]
    if unknown:
        hint = did_you_mean(unknown[0], [*OPERATIONS, "save_as", "from"]) or f"there is: {', '.join(OPERATIONS)}"
        raise ActionError("config", f"{place}: there is no operation {unknown[0][:80]!r}", hint=hint)
    if len(names) != 1:
        raise ActionError("config", f"{place} must have one operation, not {' and '.join(names) or 'none'}")
    source, save_as = item.get("from"), _save_as(item, place)
    if source is not None and not isinstance(source, str):
        raise ActionError("config", f"{place}: from must be input or what an operation before it saves as")
    return _Step(names[0], OPERATIONS[names[0]], item[names[0]], source, save_as)


def _save_as(item: Mapping[str, Any], place: str) -> str | None:
    name = item.get("save_as")
    if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN):
        raise ActionError("config", f"{place}: save_as must be a name, and not one of {', '.join(_TAKEN)}")
    return name


def _saved(config: Mapping[str, Any]) -> frozenset[str]:
    """The names that operations save as, as far as the config is well formed, and the variables that their texts know."""
    given = config.get("operations")
    items = [item for item in given if isinstance(item, Mapping)] if isinstance(given, list | tuple) else []
    saved = {str(item["save_as"]) for item in items if isinstance(item.get("save_as"), str)}
    return frozenset(saved.union(*(item["variables"] for item in items if isinstance(item.get("variables"), Mapping))))


def _expressions(config: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    from application.actions.transform_work import checkable

    for number, item in enumerate(_written(config)):
        for place, text in _expressions_of(item):
            if (known := checkable(text, by=place[0] in _BY)) is not None:
                yield ("operations", number, *place), known


def _written(config: Mapping[str, Any]) -> list[Any]:
    given = config.get("operations")
    return given if isinstance(given, list) else []


def _expressions_of(item: Any) -> Iterator[tuple[Place, str]]:
    """What may be an expression in one operation, with its path in it."""
    for name, given in item.items() if isinstance(item, Mapping) else ():
        if "type" in item:
            if name in ("condition", "transform") and isinstance(given, str):
                yield (name,), given
        elif name == "map" and isinstance(given, Mapping):
            yield from (((name, field), text) for field, text in given.items() if isinstance(text, str))
        elif name in ("map", "filter", "count") and isinstance(given, str):
            yield (name,), given
        elif name in _BY and not (name == "join" and isinstance(given, str)):  # that is a separator
            yield from _keys(given, (name,))


def _keys(given: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Texts that say by what: alone, below `by`, `on`, `left` and `right`, or a list of either."""
    if isinstance(given, str):
        yield place, given
    elif isinstance(given, Mapping):
        for name in ("by", "on", "left", "right"):
            if isinstance(given.get(name), str):
                yield (*place, name), given[name]
    elif isinstance(given, list):
        for number, key in enumerate(given):
            yield from _keys(key, (*place, number))


def _faults(config: Mapping[str, Any]) -> Iterator[tuple[Place, str, str | None]]:
    saved = ["input"]
    for number, item in enumerate(_written(config), 1):
        if isinstance(item, str) and is_template(item):
            return
        place: Place = ("operations", number - 1)
        try:
            step = _step(item, number)
        except ActionError as error:
            yield place, error.message, error.hint
            continue
        if step.source is not None and step.source not in saved and not is_template(step.source):
            hint = did_you_mean(step.source, saved) or f"there is: {', '.join(saved)}"
            yield (*place, "from"), f"{step.name}: no operation before it saves {step.source[:80]!r}", hint
        if step.save_as is not None:
            if step.save_as in saved:
                yield (*place, "save_as"), f"two operations save as {step.save_as!r}", None
            saved.append(step.save_as)


def _count(value: Any) -> int:
    if value is None:
        return 0
    return len(value) if isinstance(value, list | tuple | Mapping) else 1


_OPERATIONS = (
    "One after another, each an object with one operation; save_as keeps what it comes to under a name, from: NAME (or input)"
    " takes that instead of what the one before came to. Expressions know item (# too), index and the names kept; BY is a"
    " field (a name or a dotted path; name? may be missing) or an expression. extract: path, or an object of paths."
    " map: expression, or an object of them. filter: expression. join: separator; or {with: list, on: BY (or left and right),"
    " kind: inner|left, as: name}. format: template for each item; or {template, each}, {decimals: 2}, {date: '%d.%m.%Y'}."
    " sort: BY, {by, desc} or a list of them (null comes last). group: BY gives an object of lists. unique: true or BY."
    " flatten: true or depth. pick, omit: names. rename: {old: new}. merge: {field: value}. count: true or expression."
    " sum, avg, min, max: true or BY. Or objects of type and save_as, each of which looks at the input and at what was saved:"
    " extract (path), map (array, transform), filter (array, condition), join (array, separator), format (template, variables)."
)

TRANSFORM = Action(
    name="transform",
    description="Takes a value through operations: what is selected, computed, joined, sorted or grouped is its result.",
    keys={
        "input": Key(one_of="source", description="Any value; usually a template such as ${users.body}."),
        "input_file": Key(
            ("string",),
            one_of="source",
            names="file",
            description="A JSON, YAML, CSV or JSON lines file below the project's folder. CSV has texts.",
        ),
        "operations": Key(("array",), required=True, aliases=("transforms",), description=_OPERATIONS),
    },
    run=run,
    result={
        "result": "What the last operation came to. What save_as names is a field beside it.",
        "count": "How many items or fields that has; 1 for a plain value, 0 for null.",
    },
    unresolved=("operations",),
    names={"operations": ("item", "index")},
    made=_saved,
    expressions=_expressions,
    faults=_faults,
)
