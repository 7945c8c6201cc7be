"""The failure output: where, what was expected, what came, the exchange, and a hint."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from interfaces.cli.reports.model import Execution, Step

BODY_SHOWN = 600
VALUE_SHOWN = 200
SOURCE_SHOWN = 160
_QUIET_HEADERS = ("accept", "accept-encoding", "connection", "content-length", "host", "user-agent")
_METHODS: Mapping[str, tuple[str, ...]] = {"GET": (), "HEAD": ("--head",)}


def failure_text(execution: Execution, step: Step, sources: Mapping[str, str]) -> str:
    """All about one bad step. `sources` are texts of flows by file, for the excerpt."""
    return "\n".join(_lines(execution, step, sources))


def _lines(execution: Execution, step: Step, sources: Mapping[str, str]) -> Iterator[str]:
    file = step.outcome.get("file") or execution.file
    source = sources.get(file, "")
    tries = step.outcome.get("tries") or []
    again = f", try {len(tries)}" if len(tries) > 1 else ""
    yield f"{execution.title} > {step.phase} > {step.where}  [{step.action}, {step.verdict}{again}]"
    if step.error:
        yield from _error(file, step, source)
    for check in step.failed_assertions:
        yield from _assertion(file, check, source)
    if tries and tries[-1].get("left_out"):
        yield f"  {tries[-1]['left_out']} more assertions are not in the record: it would be too large for an event"
    if not step.error and not step.failed_assertions and step.outcome.get("reason"):
        yield f"  {step.outcome['reason']}"
    yield from _exchange(step.outcome.get("exchange"))
    for line in step.logs:
        yield f"  log [{line['level']}] {line['message']}"


def _error(file: str, step: Step, source: str) -> Iterator[str]:
    error = step.error or {}
    if error.get("line"):
        yield f"  {file}:{error['line']}:{error['column']}"
        yield from _excerpt(source, error["line"], error["column"])
    first, *more = str(error["message"]).splitlines() or [""]
    yield f"  {error['kind']}: {first}"
    yield from (f"  {line}" for line in more)
    if error.get("hint"):
        yield f"  = {error['hint']}"


def _assertion(file: str, check: Mapping[str, Any], source: str) -> Iterator[str]:
    yield f"  {file}:{check['line']}:{check['column']}"
    yield from _excerpt(source, check["line"], check["column"])
    yield f"  assertion failed: {check['message'] or check['expression']}"
    if check["error"]:
        yield f"    {check['error']}"
    if check["expected"] is not None or check["actual"] is not None:
        operator = check.get("operator", "")
        how = "" if operator in ("", "==") else f"{operator} "
        yield f"    expected: {how}{_short(check['expected'])}"
        yield f"      actual: {_short(check['actual'])}"
    for text, value in _values(check):
        yield f"    {text} = {_short(value)}"
    for line in check["diff"]:
        yield f"    {line}"


def _values(check: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parts of the expression, without what was said already; a record that was too big keeps not all of them."""
    for pair in check["values"]:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or pair[0] == check["expression"]:
            continue
        if pair[1] != check["actual"] or not check["expression"].startswith(f"{pair[0]} == "):
            yield str(pair[0]), pair[1]


def _excerpt(source: str, line: int, column: int) -> Iterator[str]:
    lines = source.splitlines()
    if 0 < line <= len(lines):
        begin = max(0, column - SOURCE_SHOWN * 2 // 3) if len(lines[line - 1]) > SOURCE_SHOWN else 0
        text, left = lines[line - 1][begin : begin + SOURCE_SHOWN], "..." if begin else ""
        right = "..." if begin + SOURCE_SHOWN < len(lines[line - 1]) else ""
        yield f"  {line:>5} | {left}{text}{right}"
        yield f"        | {' ' * (len(left) + column - 1 - begin)}^"


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
            yield from (f"  < {line}" for line in _body(response["body"]).splitlines())
    elif response:
        yield f"  < {_short(response, BODY_SHOWN)}"
    if "url" in request and len(str(request.get("body") or "")) <= BODY_SHOWN:
        yield f"  = {as_curl(request)}"


def as_curl(request: Mapping[str, Any]) -> str:
    """The request as a curl command; masked values stay masked."""
    method, body = str(request.get("method", "GET")), request.get("body")
    words = ["curl", *_METHODS.get(method, ("-X", method))]
    for name, value in (request.get("headers") or {}).items():
        if name.lower() not in _QUIET_HEADERS and not name.lower().startswith("x-testmesh-"):
            words += ["-H", f"{name}: {value}"]
    if body not in (None, ""):
        words += ["-X", method] if method in _METHODS else []
        words += ["--data-binary", body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)]
    return shlex.join([*words, str(request["url"])])


def _body(body: Any) -> str:
    """The beginning of a body; of one that is not text, only its size."""
    if isinstance(body, str) and sum(body[:BODY_SHOWN].count(sign) for sign in ("\x00", "\ufffd")) > 3:
        return f"({len(body)} characters that are not text)"
    return _short(body, BODY_SHOWN)


def _short(value: Any, limit: int = VALUE_SHOWN) -> str:
    text = value if isinstance(value, str) and limit == BODY_SHOWN else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
