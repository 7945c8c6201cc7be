"""The action `for_each`: a list of steps for every item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from application.actions.loop_items import Item, read_items
from application.actions.loop_options import read_fail_fast, read_number, read_truth
from application.engine.action import Action, ActionContext, ActionError, Key
from application.engine.bodies import Body, BodyResult, failure_of

_AT_ONCE = 10


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Run the steps for each item, in order or some at a time; all outputs are kept by iteration."""
    items = read_items(config, context)
    item_name, index_name = _name(config, "item_name", "item"), _name(config, "index_name", "index")
    beside = read_truth(config, "parallel", "max_concurrent" in config)
    at_once = read_number(config, "max_concurrent", _AT_ONCE, context.limits.parallel) if beside else 1
    fail_fast = read_fail_fast(config, "continue_on_error")
    bodies = context.bodies
    if bodies is None:
        raise ActionError("config", "for_each has no steps")
    loop = _loop(items, item_name, index_name, context.limits.recorded_iterations)
    results = await bodies.run_all(loop, at_once=at_once, fail_fast=fail_fast)
    told = _told(items, results)
    failure = failure_of(results, lambda number: f"item {number + 1} of {len(items)}: ", told)
    if failure is not None:
        raise failure
    return told


def _loop(items: Sequence[Item], item_name: str, index_name: str, recorded: int) -> Iterator[Body]:
    last = len(items) - 1
    for index, item in enumerate(items):
        loop = {"index": index, "number": index + 1, "first": index == 0, "last": index == last, "count": len(items)}
        names = {item_name: item.value, index_name: index, "loop": {**loop, "item": item.value}, **item.parts}
        yield Body("steps", f"[{index}]", names, recorded=index < recorded)


def _told(items: Sequence[Item], results: Sequence[BodyResult]) -> dict[str, Any]:
    failed = sum(not result.ok for result in results)
    return {
        "results": [dict(result.outputs) for result in results],
        "count": len(results),
        "items": len(items),
        "passed": len(results) - failed,
        "failed": failed,
    }


def _inside(config: Mapping[str, Any]) -> frozenset[str]:
    """The names that the steps know; `key` and `value` only where items may be the entries of an object."""
    entries = {"key", "value"} if isinstance(config.get("items"), str | dict) else set[str]()
    return frozenset({str(config.get("item_name", "item")), str(config.get("index_name", "index")), "loop", *entries})


def _name(config: Mapping[str, Any], key: str, default: str) -> str:
    name = config.get(key, default)
    if not isinstance(name, str) or not name.isidentifier():
        raise ActionError("config", f"{key} must be a name of letters, digits and _, not {name!r:.80}")
    return name


FOR_EACH = Action(
    name="for_each",
    description="Runs steps once for every item of a list or object, number of a range, or file of a glob. Iterations beyond"
    " 1,000 are recorded only when they fail.",
    keys={
        "items": Key(
            ("array", "object", "string"),
            one_of="items",
            description="What to go through. Of an object, each entry: item.key, item.value, and key, value.",
        ),
        "range": Key(
            ("string", "array", "object", "integer"),
            one_of="items",
            description="Numbers: `1..5`, [1, 5], {start, end, step}, all with both ends; or how many, counted from 0.",
        ),
        "glob": Key(
            ("string",),
            one_of="items",
            aliases=("items_from_glob",),
            names="glob",
            description="Files below the project's folder, as paths; on workers an error when it matches none.",
        ),
        "item_name": Key(("string",), description="The name of the item inside; `item` by default."),
        "index_name": Key(("string",), description="The name of its number, from 0; `index` by default."),
        "steps": Key(("steps",), required=True, description="The steps; they also know loop.index, loop.number (from 1),"
                     " loop.first, loop.last, loop.count."),
        "parallel": Key(("boolean",), description="Whether items are worked on at the same time."),
        "max_concurrent": Key(("integer",), description="How many at the same time; 10 by default, at most 50."),
        "max_iterations": Key(("integer",), description="More items than this are an error before the first is worked on."),
        "fail_fast": Key(("boolean",), description="Whether the first failure ends the loop; true by default. One item that"
                         " fails fails the step in any case."),
        "continue_on_error": Key(("boolean",), description="The opposite of fail_fast."),
    },
    run=run,
    result={
        "results": "The outputs of each iteration, in the order of the items.",
        "count": "How many iterations there were.",
        "items": "How many items there are.",
        "passed": "How many iterations passed.",
        "failed": "How many did not.",
    },
    body_names=_inside,
)  # fmt: skip
