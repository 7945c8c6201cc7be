"""The action `db_poll`: asks a database again and again until its answer is as wished."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from application.actions.database_asking import KEYS, RESULT, Query, seconds, truth, whole
from application.actions.database_waiting import SHORTEST_INTERVAL, Look, Waiting, ask_until
from application.actions.sameness import same
from application.documents.source import did_you_mean
from application.engine.action import Action, ActionContext, ActionError, Key

_SECONDS = 30.0
_INTERVAL = 1.0
_MOST_TRIES = 100_000
_COUNT = re.compile(r"\s*(==|!=|<=|>=|<|>)?\s*(\d{1,9})\s*")
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<=": lambda one, other: one <= other,
    ">=": lambda one, other: one >= other,
    "<": lambda one, other: one < other,
    ">": lambda one, other: one > other,
}


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Ask until every condition holds; ActionFailed has the last rows, and says what was expected and what was there."""
    looks = _looks(config)
    waiting = Waiting(
        seconds(config, "timeout", _SECONDS),
        max(seconds(config, "interval", _INTERVAL), SHORTEST_INTERVAL),
        whole(config["max_attempts"], "max_attempts", _MOST_TRIES) if config.get("max_attempts") is not None else None,
        patient=True,
    )
    query = Query(config, context, None)

    def look(result: Mapping[str, Any]) -> str:
        if not query.tabular:
            raise ActionError("config", "db_poll looks at rows, and this query never gives any", hint="add RETURNING or SELECT")
        return " and ".join(filter(None, (one(result) for one in looks)))

    result, attempts = await ask_until(query, look, waiting, context)
    return {**result, "success": True, "attempts": attempts}


def _looks(config: Mapping[str, Any]) -> list[Look]:
    """The conditions, in the order in which they are written; that there is a row when there is none."""
    condition = config.get("condition")
    if condition is not None and not (isinstance(condition, Mapping) and condition):
        raise ActionError("config", f"condition is an object of {', '.join(_CONDITIONS)}")
    looks: list[Look] = []
    for name, wanted in (condition or {}).items():
        if name not in _CONDITIONS:
            raise ActionError("config", f"condition has no key {str(name)!r:.40}", hint=did_you_mean(str(name), _CONDITIONS))
        looks.append(_CONDITIONS[name](wanted))
    if ("expected_value" in config) != ("column" in config):
        raise ActionError("config", "expected_value and column belong together")
    if "column" in config:
        looks.append(_value(config["column"], config["expected_value"]))
    return looks or [_row_exists(True)]


def _row_exists(wanted: Any) -> Look:
    expected = truth({"row_exists": wanted}, "row_exists")

    def look(result: Mapping[str, Any]) -> str:
        count = result["row_count"]
        if bool(count) is expected:
            return ""
        return "no row" if expected else f"expected no row, there {'was 1' if count == 1 else f'were {count}'}"

    return look


def _row_count(wanted: Any) -> Look:
    found = _COUNT.fullmatch(str(wanted)) if not isinstance(wanted, bool) else None
    if found is None:
        raise ActionError("config", "row_count is a number of rows, or a comparison such as '>= 2'")
    sign, number = found[1] or "==", int(found[2])

    def look(result: Mapping[str, Any]) -> str:
        count = result["row_count"]
        if _COMPARISONS[sign](count, number):
            return ""
        return f"expected row_count {sign} {number}, it was {count}"

    return look


def _value_equals(wanted: Any) -> Look:
    if not isinstance(wanted, Mapping) or wanted.keys() != {"column", "value"}:
        raise ActionError("config", "value_equals is an object with column and value")
    return _value(wanted["column"], wanted["value"])


def _value(column: Any, wanted: Any) -> Look:
    name = _name(column)

    def look(result: Mapping[str, Any]) -> str:
        row = result["first_row"]
        if row is None:
            return f"expected {name} to be {wanted!r:.200}, there was no row"
        value = _cell(row, name)
        return "" if same(value, wanted) else f"expected {name} to be {wanted!r:.200}, it was {value!r:.200}"

    return look


def _value_not_null(column: Any) -> Look:
    name = _name(column["column"] if isinstance(column, Mapping) and column.keys() == {"column"} else column)

    def look(result: Mapping[str, Any]) -> str:
        row = result["first_row"]
        if row is None:
            return f"expected {name} to have a value, there was no row"
        return "" if _cell(row, name) is not None else f"expected {name} to have a value, it was null"

    return look


def _name(column: Any) -> str:
    if not isinstance(column, str) or not column:
        raise ActionError("config", "column is the name of a column")
    return column


def _cell(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        raise ActionError("config", f"the rows have no column {name!r:.80}", hint=did_you_mean(name, row))
    return row[name]


_CONDITIONS: Mapping[str, Callable[[Any], Look]] = {
    "row_exists": _row_exists,
    "row_count": _row_count,
    "value_equals": _value_equals,
    "value_not_null": _value_not_null,
}

DB_POLL = Action(
    name="db_poll",
    description="Asks a database until its answer is as wished; a server that cannot be reached yet is asked again.",
    keys={
        **KEYS,
        "condition": Key(
            ("object",),
            description="What must hold, all of it: row_exists (true, or false for none), row_count (a number, or text such as"
            " '>= 2'), value_equals {column, value} and value_not_null (a column) of the first row. row_exists by default.",
        ),
        "column": Key(("string",), description="With expected_value: the column of the first row that is looked at."),
        "expected_value": Key(description="What the column must hold."),
        "timeout": Key(("duration",), description="30s by default."),
        "interval": Key(("duration",), description="Between two tries, 1s by default."),
        "max_attempts": Key(("integer",), description="How many tries at most; as many as fit by default."),
    },
    run=run,
    result={"success": "True; false in the failure when it gave up.", "attempts": "How many tries it took.", **RESULT},
)
