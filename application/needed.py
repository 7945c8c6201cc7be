"""What the flows that a case of a suite run needs have handed over: read where the case runs, recorded nowhere else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import orjson

from application.log import Log
from application.payloads import Payloads
from domain.execution import Execution


def needed_executions(request: Execution.Requested) -> Mapping[str, str]:
    """The executions of the flows that this one needs in its suite run, by the names of those flows."""
    needs: Mapping[str, str] = (request.suite_run or {}).get("needs", {})
    return needs


def handed_over(
    log: Log, payloads: Payloads, workspace: str, executions: Collection[str]
) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """The outputs of these executions, and what was secret in them, by their ids. Refusals as of `Payloads.open`."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for event in log.of([UUID(id) for id in executions], Execution.Finished.TOPIC):
        outputs, secrets = dict(event.outputs), list[str]()
        if event.sealed is not None:
            kept = orjson.loads(payloads.open(workspace, event.sealed))
            outputs, secrets = kept["outputs"], kept["secrets"]
        found[str(event.originator_id)] = (outputs, secrets)
    return found
