"""The failure output: where, what was expected, what came, the exchange, a hint, and the command that runs it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from interfaces.cli.reports.model import Execution, Step

BODY_SHOWN = 600
VALUE_SHOWN = 200


def failure_text(execution: Execution, step: Step, source: str) -> str:
    """All about one bad step. `source` is the flow's text, for the excerpt."""
    return "\n".join(_lines(execution, step, source))


def _lines(execution: Execution, step: Step, source: str) -> Iterator[str]:
    tries = step.outcome.get("tries") or []
    again = f", try {len(tries)}" if len(tries) > 1 else ""
    yield f"{execution.name} > {step.phase} > {step.name}  [{step.action}, {step.verdict}{again}]"
    if step.error:
        yield from _error(execution, step, source)
    for check in step.failed_assertions:
        yield from _assertion(execution, check, source)
    if not step.error and not step.failed_assertions and step.outcome.get("reason"):
        yield f"  {step.outcome['reason']}"
    yield from _exchange(step.outcome.get("exchange"))
    for line in step.logs:
        yield f"  log [{line['level']}] {line['message']}"


def _error(execution: Execution, step: Step, source: str) -> Iterator[str]:
    error = step.error or {}
    if error.get("line"):
        yield f"  {execution.file}:{error['line']}:{error['column']}"
        yield from _excerpt(source, error["line"], error["column"])
    yield f"  {error['kind']}: {error['message']}"
    if error.get("hint"):
        yield f"  = {error['hint']}"


def _assertion(execution: Execution, check: Mapping[str, Any], source: str) -> Iterator[str]:
    yield f"  {execution.file}:{check['line']}:{check['column']}"
    yield from _excerpt(source, check["line"], check["column"])
    yield f"  assertion failed: {check['message'] or check['expression']}"
    if check["error"]:
        yield f"    {check['error']}"
    if check["expected"] is not None or check["actual"] is not None:
        yield f"    expected: {_short(check['expected'])}"
        yield f"      actual: {_short(check['actual'])}"
    for text, value in check["values"]:
        if text != check["expression"]:
            yield f"    {text} = {_short(value)}"
    for line in check["diff"]:
        yield f"    {line}"


def _excerpt(source: str, line: int, column: int) -> Iterator[str]:
    lines = source.splitlines()
    if 0 < line <= len(lines):
        yield f"  {line:>5} | {lines[line - 1]}"
        yield f"        | {' ' * (column - 1)}^"


def _exchange(exchange: Mapping[str, Any] | None) -> Iterator[str]:
    if not exchange:
        return
    request, response = exchange.get("request") or {}, exchange.get("response") or {}
    if "url" in request:
        yield f"  > {request.get('method', '')} {request['url']}"
    elif request:
        yield f"  > {_short(request)}"
    if "status" in response:
        time = f" in {response['time']:.0f} ms" if isinstance(response.get("time"), int | float) else ""
        yield f"  < {response['status']}{time}"
        if response.get("body"):
            yield f"  < {_short(response['body'], BODY_SHOWN)}"
    elif response:
        yield f"  < {_short(response, BODY_SHOWN)}"
    if "url" in request:
        yield f"  = {as_curl(request)}"


def as_curl(request: Mapping[str, Any]) -> str:
    """The request as a curl command; masked values stay masked."""
    words = ["curl", "-X", str(request.get("method", "GET"))]
    for name, value in (request.get("headers") or {}).items():
        if name.lower() not in ("content-length", "host", "accept-encoding", "connection"):
            words += ["-H", f"{name}: {value}"]
    body = request.get("body")
    if body not in (None, ""):
        words += ["--data-binary", body if isinstance(body, str) else json.dumps(body)]
    return shlex.join([*words, str(request["url"])])


def _short(value: Any, limit: int = VALUE_SHOWN) -> str:
    text = value if isinstance(value, str) and limit == BODY_SHOWN else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def again_command(execution: Execution, *, remote: bool) -> str:
    """The command that runs this flow again with the same seed."""
    return shlex.join(["testmesh", "run", *(["--remote"] if remote else ["--seed", execution.seed]), execution.file])
