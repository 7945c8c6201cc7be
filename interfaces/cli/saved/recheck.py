"""Assertions of a saved run, evaluated again over what was recorded: equal, different, or not to be told.

Honest before useful: where a value is masked, shortened or not recorded, the answer is that the assertion cannot be
re-checked. A masked secret is a token that stays the same within a run, so that equality of whole values can be told.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from domain.definition import Step as StepDefinition
from domain.expressions import Explanation, ExpressionError, Scope, explain, parse
from domain.expressions import syntax as s
from domain.expressions.evaluator import Expression
from domain.masking import MASKED
from domain.values import dataclass
from interfaces.cli.reports.model import Execution, Step
from interfaces.cli.saved.recorded_names import Definitions, names_before, starting_names
from interfaces.cli.saved.saved_run_reading import SavedRun

State = Literal["equal", "differs", "unknown"]
_TOKEN = re.compile(r"\[secret:[0-9a-f]{6}\]")
_CUT = re.compile(r"\.\.\. \(\d+ (characters|items)\)$|^\.\.\. \d+ more$")
_SIMPLE = (s.Name, s.Constant, s.Index, s.Root, s.Binary, s.Unary, s.Call, s.Items, s.Entries)
_SIDES = (s.Name, s.Constant, s.Index, s.Root)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one assertion."""

    step: Step
    expression: str
    passed: bool
    state: State
    why: str = ""


class Recheck:
    """Checks the executions of one saved run."""

    def __init__(self, saved: SavedRun) -> None:
        self._definitions = Definitions(saved.sources)
        self._masked = saved.meta["masked"] is True
        self._unrecorded = frozenset(saved.meta["secret_names"])
        flows = [flow for flow in self._definitions.all() if flow is not None]
        self._kinds = _kinds(step for flow in flows for steps in (flow.setup, flow.steps, flow.teardown) for step in steps)

    def execution(self, execution: Execution) -> Iterator[Answer]:
        """Answers of every assertion of the last try of each step; of earlier tries no result is recorded."""
        start = starting_names(execution, self._definitions.find(execution.file), self._unrecorded)
        versions = {
            (event["event"]["attempt"], event["event"]["path"]): event["version"]
            for event in execution.events
            if event["topic"] == "execution.step_finished"
        }
        for step in execution.last_steps:
            tries = step.outcome.get("tries") or ()
            if not tries or not tries[-1]["assertions"]:
                continue
            version = versions[step.attempt, step.path]
            scope = _scope(step, names_before(execution, version, step.path, start))
            for check in tries[-1]["assertions"]:
                state, why = self._answer(step, check, scope)
                yield Answer(step, check["expression"], check["passed"], state, why)

    def _answer(self, step: Step, check: Mapping[str, Any], scope: Scope) -> tuple[State, str]:
        if scope.result is None:
            return "unknown", "the step's result is not recorded"
        try:
            parsed = parse(check["expression"])
        except ExpressionError as error:
            return "unknown", f"the expression cannot be read: {error.message}"
        reason = _unreadable(parsed, scope)
        if reason:
            return "unknown", reason
        return self._evaluated(check, self._kind(step, check), parsed, scope)

    def _kind(self, step: Step, check: Mapping[str, Any]) -> Literal["assert", "none", "unsure"]:
        """Whether it had to hold, or must not: what has passed does not say so itself, only the flow does."""
        if not check["passed"]:
            return "none" if str(check["message"]).startswith("must not hold") else "assert"
        kinds = self._kinds.get((step.path.rpartition("/")[2], check["expression"]), set())
        return "unsure" if len(kinds) != 1 else "none" if "none" in kinds else "assert"

    def _evaluated(self, check: Mapping[str, Any], kind: str, parsed: Expression, scope: Scope) -> tuple[State, str]:
        found = explain(parsed, scope)
        marks = _marks(_read(found))
        if marks - {"token"}:
            return "unknown", f"a value that it reads is {' and '.join(sorted(marks - {'token'}))}"
        if marks and not _compares_whole_values(parsed.tree):
            return "unknown", "a value that it reads is masked, and it is more than an equality"
        if found.error is not None or any(value is None for value in _read(found)) or not _is_simple(parsed.tree):
            around = _marks(_roots(parsed, scope))
            if around - ({"token"} if marks else set()):
                return "unknown", f"what it looks through is {' and '.join(sorted(around))} in places"
        expected = check["passed"] if kind != "none" else not check["passed"]
        if check["error"] is not None and (found.error is not None or found.value not in (True, False)):
            return "equal", ""
        if (found.error is None and found.value is True) == expected and not (check["error"] and kind == "none"):
            return "equal", ""
        if kind == "unsure":
            return "unknown", "it cannot be told from the record whether it had to hold, or must not"
        if marks and not (self._masked and expected):
            return "unknown", "a value that it reads is masked, and forms of one secret look alike"
        told = found.error.message if found.error else "false" if found.value is not True else "true"
        return "differs", f"recorded as {'passed' if check['passed'] else 'failed'}, and it is now: {told}"


def _scope(step: Step, names: Mapping[str, Any]) -> Scope:
    result = step.outcome.get("result")
    return Scope({**names, **(step.outcome.get("outputs") or {})}, result if isinstance(result, dict) else None)


def _unreadable(parsed: Expression, scope: Scope) -> str:
    """Why an expression has no value here that could be compared."""
    for name in sorted(parsed.names()):
        if not scope.find(name)[0]:
            return f"{name} is not in the record"
    if any(isinstance(node, s.Call) and node.function == "now" for node in s.walk(parsed.tree)):
        return "it asks for the time"
    return ""


def _read(found: Explanation) -> list[Any]:
    """Values of the parts that were looked at."""
    sides = [side for side in (found.expected, found.actual) if side is not Explanation.MISSING]
    return [*(value for _, value in found.values), *sides, *([found.value] if found.error is None else [])]


def _roots(parsed: Expression, scope: Scope) -> list[Any]:
    names = [scope.find(name)[1] for name in parsed.names()]
    return [*names, scope.root()] if any(isinstance(node, s.Root) for node in s.walk(parsed.tree)) else names


def _marks(values: Iterable[Any]) -> set[str]:
    """What was done to values before they were recorded."""
    marks: set[str] = set()
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "..." in value:
                marks.add("shortened")
            pending.extend(value.keys())
            pending.extend(value.values())
        elif isinstance(value, list | tuple):
            pending.extend(value)
        elif isinstance(value, str):
            marks |= {"masked"} if MASKED in value else set()
            marks |= {"token"} if _TOKEN.search(value) else set()
            marks |= {"shortened"} if _CUT.search(value) else set()
    return marks


def _is_simple(tree: s.Node) -> bool:
    return all(isinstance(node, _SIMPLE) for node in s.walk(tree))


def _compares_whole_values(tree: s.Node) -> bool:
    if not isinstance(tree, s.Binary) or tree.operator not in ("==", "!="):
        return False
    return all(isinstance(node, _SIDES) for side in (tree.left, tree.right) for node in s.walk(side))


def _kinds(steps: Iterable[StepDefinition]) -> dict[tuple[str, str], set[str]]:
    """By step id and expression, whether it has to hold (`assert`, also `assert_any`) or must not (`none`)."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    pending = list(steps)
    while pending:
        step = pending.pop()
        for kind, checks in (("assert", step.asserts), ("assert", step.assert_any), ("none", step.assert_none)):
            for check in checks:
                found[step.id, check.expression].add(kind)
        pending.extend(inner for body in step.bodies.values() for inner in body)
        pending.extend(step.on_error.error_steps)
    return found
