"""The plan of a suite run: what each of its cases runs with, frozen when it was requested and kept as one sealed payload."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import product
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

import orjson

from application.bundles import Bundle
from application.data_rows import Case as DataRow
from application.data_rows import Cases
from application.executions import MAX_ATTEMPTS, Pinned
from application.payloads import Reference
from application.queueing import QueueRules, Wish, decided
from domain.definition import FlowDefinition
from domain.errors import Invalid, LimitExceeded, NotFound
from domain.events import Actor
from domain.execution import Execution
from domain.limits import LIMITS
from domain.suite_case import Case, case_label
from domain.suite_run import SuiteRun
from domain.values import dataclass

CELL_CHARS = 200
"""Of a value in a matrix: it is a part of names."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Member:
    """A flow of a suite run. `variables` stand below the values of its rows; `rows` None means those that the flow has;
    `only` are the keys of the rows that are wanted, None for all."""

    definition: FlowDefinition
    source: str
    pinned: Pinned | None = None
    bundle: Bundle = field(default_factory=Bundle)
    variables: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[DataRow] | None = None
    only: frozenset[str] | None = None
    project: str = ""
    """The project in which a flow that is not pinned looks for what it needs."""

    @property
    def home(self) -> str:
        """Its project."""
        return self.pinned.project if self.pinned else self.project

    @property
    def flow(self) -> str:
        """What names the flow: its project, and its id there or where it stands."""
        name = self.definition.id or self.path
        return f"{self.home}:{name}" if self.home else name

    @property
    def path(self) -> str:
        """Where it stands in its project."""
        return self.bundle.path or self.definition.file

    def cases(self) -> list[DataRow] | None:
        """The rows that are wanted; None for a flow without any. Refusals say what is wrong with them."""
        if self.rows is None and self.definition.data is None:
            return None
        rows = list(rows_of(self.definition, self.bundle) if self.rows is None else self.rows)
        found = [row for row in rows if self.only is None or row.key in self.only]
        if not found:
            unknown = f" {sorted(self.only)[0]!r}" if self.only else ""
            raise NotFound(f"{self.path} has no row{unknown}", code="no_such_row")
        return found


def rows_of(definition: FlowDefinition, bundle: Bundle) -> list[DataRow]:
    """The rows of a flow, from itself or from the file that came with it; each key stands once."""
    data = definition.data
    assert data is not None
    if data.file is None:
        return _counted(Cases(data, Path()), definition.file)
    name = normpath(join(dirname(bundle.path), data.file))
    if name not in bundle.files:
        raise NotFound(
            f"data: {data.file!r} did not come with {definition.file}; push it again, or send the file along",
            code="missing_file",
        )
    with tempfile.TemporaryDirectory(prefix="testmesh-rows-") as folder:
        file = Path(folder) / f"rows{Path(name).suffix}"
        file.write_bytes(bundle.files[name])
        try:
            return _counted(Cases(replace(data, file=file.name), Path(folder)), name)
        except (Invalid, NotFound, LimitExceeded) as refusal:
            raise type(refusal)(refusal.message.replace(str(file), name), code=refusal.code, remedy=refusal.remedy) from None


def _counted(cases: Cases, name: str) -> list[DataRow]:
    if cases.count() > LIMITS.suite_cases:
        raise LimitExceeded(
            f"{name} has {cases.count():,} rows; a suite run may have {LIMITS.suite_cases:,} cases", remedy="split it"
        )
    return list(cases)


def row_variables(row: DataRow) -> dict[str, Any]:
    """What a row brings to its flow: its values by name, and all of it as `row`."""
    return {**row.values, "row": dict(row.values)}


def cells_of(matrix: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values; a single empty one for no matrix."""
    for name, values in matrix.items():
        if not name.isidentifier():
            raise Invalid(f"{name!r} cannot be the name of a variable", code="invalid_matrix")
        if any(isinstance(value, list | dict) for value in values):
            raise Invalid(f"the values of {name} in the matrix must be text, numbers or booleans", code="invalid_matrix")
        if any(len(str(value)) > CELL_CHARS for value in (name, *values)):
            raise Invalid(f"names and values in the matrix may have {CELL_CHARS} characters", code="invalid_matrix")
        if not values or len({str(value) for value in values}) < len(values):
            raise Invalid(f"the matrix needs different values of {name}", code="invalid_matrix")
    size = 1
    for values in matrix.values():
        size *= len(values)
    if size > LIMITS.suite_cases:
        raise LimitExceeded(f"the matrix has {size:,} cells; a suite run may have {LIMITS.suite_cases:,} cases")
    return [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]


class Plan:
    """What cases run with: flows, the variables of each case, and those of the whole run, which win."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._flows: list[dict[str, Any]] = content["flows"]
        self._cases: list[dict[str, Any]] = content["cases"]
        self._variables: dict[str, Any] = content["variables"]
        self._seed: str = content["seed"]

    @classmethod
    def read(cls, content: bytes) -> Plan:
        """The plan from its payload."""
        return cls(orjson.loads(content))

    def write(self) -> bytes:
        """The plan as a payload."""
        content = {"flows": self._flows, "cases": self._cases, "variables": self._variables, "seed": self._seed}
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)

    def execution(self, by: Actor, run: SuiteRun, number: int, needed: Mapping[str, str]) -> Execution:
        """The execution of a case; `needed` are the executions of the flows that it needs, by the names of these.
        LimitExceeded when its variables are too large."""
        planned, case = run.cases[number], self._cases[number]
        flow = self._flows[case["flow"]]
        variables = {**flow["variables"], **case["variables"], **planned["cell"], **self._variables}
        needed = {**case.get("needed", {}), **needed}
        size, most = len(orjson.dumps(variables)), LIMITS.event_bytes * 3 // 4
        if size > most:
            raise LimitExceeded(f"the variables may have {most:,} bytes, these have {size:,}")
        more = {"cell": case_label("", planned["cell"]), "needs": needed}
        more = {name: value for name, value in more.items() if value}
        label = planned["key"][len(planned["flow"]) + 1 : -1]
        return Execution.request_run(
            by,
            id=run.execution_of(number),
            workspace=run.workspace,
            project=flow["project"],
            flow_id=planned["flow_id"] or None,
            flow_revision=planned["revision"] or None,
            flow_name=planned["name"],
            file=planned["file"],
            document=flow["document"],
            variables=variables,
            tags=flow["tags"],
            trigger="suite",
            request_digest="",
            seed=self._seed,
            on_worker_lost=flow["on_worker_lost"],
            max_attempts=MAX_ATTEMPTS,
            timeout=flow["timeout"],
            teardown_timeout=flow["teardown_timeout"],
            case=label,
            suite_run={"id": str(run.id), "case": number, **more},
            **flow["queueing"],
        )

    def names(self, number: int) -> Sequence[str]:
        """What the flow of a case is called by those that need it: name, id, path."""
        names: list[str] = self._flows[self._cases[number]["flow"]]["names"]
        return names

    def narrowed(self, numbers: Sequence[int], needed: Mapping[int, Mapping[str, str]], time: int) -> Plan:
        """The plan of these cases alone, in this order, for the `time`-th rerun, with other random values: what was made
        before may still be there. `needed` are the executions of what is needed and not run again."""
        cases = [{**self._cases[number], "needed": dict(needed.get(number, {}))} for number in numbers]
        return Plan({"flows": self._flows, "cases": cases, "variables": self._variables, "seed": f"{self._seed}~{time}"})


class Planning:
    """Puts a plan together from members, the cells of a matrix, and needs."""

    def __init__(
        self,
        members: Sequence[Member],
        needs: Sequence[Sequence[int]],
        cells: Sequence[Mapping[str, Any]],
        wish: Wish,
        rules: QueueRules,
    ) -> None:
        """`needs` are, of each member, the numbers of those that must pass before; `wish` is how every case waits."""
        self._wish = wish
        self._rules = rules
        self._members = members
        self._needs = needs
        self._cells = cells

    def cases(self) -> Iterator[tuple[Case, dict[str, Any]]]:
        """Every case, with what the plan holds of it."""
        rows = [member.cases() for member in self._members]
        for cell_number, cell in enumerate(self._cells):
            first = cell_number * len(self._members)
            for number, member in enumerate(self._members):
                needs = [first + needed for needed in self._needs[number]]
                for row in [None] if rows[number] is None else rows[number] or []:
                    variables = row_variables(row) if row is not None else {}
                    case = self._case(member, row.key if row is not None else "", cell, first + number, needs)
                    yield case, {"flow": number, "variables": variables}

    @staticmethod
    def _case(member: Member, row: str, cell: Mapping[str, Any], group: int, needs: Sequence[int]) -> Case:
        definition, pinned = member.definition, member.pinned
        return Case(
            member.flow,
            definition.name,
            definition.file,
            row,
            cell,
            group,
            needs,
            flow_id=pinned.flow_id if pinned else "",
            revision=pinned.revision if pinned else 0,
        )

    def plan(
        self,
        documents: Sequence[Reference],
        cases: Sequence[dict[str, Any]],
        tags: Sequence[str],
        variables: Mapping[str, Any],
        seed: str,
    ) -> Plan:
        """The plan, once the members' documents are sealed; `tags` stand in place of those of each flow."""
        flows = [
            self._flow(member, document, tags or member.definition.tags)
            for member, document in zip(self._members, documents, strict=True)
        ]
        return Plan({"flows": flows, "cases": list(cases), "variables": dict(variables), "seed": seed})

    def _flow(self, member: Member, document: Reference, tags: Sequence[str]) -> dict[str, Any]:
        definition = member.definition
        return {
            "project": member.pinned.project if member.pinned else "",
            "document": dict(document),
            "names": [name for name in dict.fromkeys((definition.name, definition.id, member.path)) if name],
            "tags": list(tags),
            "variables": dict(member.variables),
            "on_worker_lost": definition.config.on_worker_lost,
            "timeout": definition.config.timeout,
            "teardown_timeout": definition.config.teardown_timeout,
            "queueing": decided(definition, self._wish, self._rules).plain(),
        }
