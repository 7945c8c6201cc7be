"""The failure output: where, what was expected, what came, the exchange, and a hint."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from domain.columns import blank
from interfaces.cli.reports.difference import difference_lines
from interfaces.cli.reports.model import Execution, Step

BODY_SHOWN = 600
WHOLE_SHOWN = 1 << 20
VALUE_SHOWN = 200
SOURCE_SHOWN = 160
TRIES_SHOWN = 10
_QUIET_HEADERS = ("accept", "accept-encoding", "connection", "content-length", "host", "user-agent")
_TELLING_HEADERS = (
    "content-type",
    "location",
    "www-authenticate",
    "retry-after",
    "allow",
    "server-timing",
    "traceparent",
    "x-request-id",
    "x-correlation-id",
    "x-trace-id",
)
"""Headers of a response that tell why, or where to look on."""
_METHODS: Mapping[str, tuple[str, ...]] = {"GET": (), "HEAD": ("--head",)}

Style = Literal["", "title", "place", "caret", "bad", "good", "quiet", "hint"]


class Line(NamedTuple):
    """A line with what it is, for colours."""

    text: str
    style: Style = ""


def summary(step: Step) -> str:
    """One line that says why a step is bad."""
    if step.error:
        return str(step.error["message"])
    failed = step.failed_assertions
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{failed[0]['message'] or failed[0]['expression']}{more}"
    return str(step.outcome.get("reason") or step.verdict)


def failure_text(execution: Execution, step: Step, sources: Mapping[str, str]) -> str:
    """All about one bad step. `sources` are texts of flows by file, for the excerpt."""
    return "\n".join(line.text for line in failure_lines(execution, step, sources))


def failure_lines(execution: Execution, step: Step, sources: Mapping[str, str], *, exchange: bool = True) -> Iterator[Line]:
    """The same, line by line; without the exchange if it is not wanted."""
    file = step.outcome.get("file") or execution.file
    source = sources.get(file, "")
    tries = step.outcome.get("tries") or []
    again = f", try {len(tries)} of {len(tries)}" if len(tries) > 1 else ""
    attempt = f", attempt {step.attempt}" if step.attempt > 1 else ""
    head = f"{execution.title} > {step.phase} > {step.where}  [{step.action}, {step.verdict}{again}{attempt}]"
    yield Line(head, "title")
    yield from _earlier(tries)
    if step.error:
        yield from _error(file, step, source)
    for check in step.failed_assertions:
        yield from _assertion(file, check, source)
    if tries and tries[-1].get("left_out"):
        yield Line(f"  {tries[-1]['left_out']} more assertions are not in the record: it would be too large for an event")
    if not step.error and not step.failed_assertions and step.outcome.get("reason"):
        yield Line(f"  {step.outcome['reason']}")
    if exchange:
        yield from exchange_lines(step.outcome.get("exchange"))
    for line in step.logs:
        yield Line(f"  log [{line['level']}] {line['message']}", "quiet")


def _earlier(tries: list[Mapping[str, Any]]) -> Iterator[Line]:
    """The tries before the last, a line each."""
    before = tries[:-1]
    for made in before[:TRIES_SHOWN]:
        failed = [check for check in made.get("assertions") or () if not check["passed"]]
        error = made.get("error") or {}
        why = error.get("message") or (failed[0]["message"] or failed[0]["expression"] if failed else "")
        said = f"  try {made['number']}: {made['verdict']} in {made['duration_ms']:.0f} ms"
        yield Line(f"{said}: {_first(why)}" if why else said, "quiet")
    if len(before) > TRIES_SHOWN:
        yield Line(f"  ... {len(before) - TRIES_SHOWN} more tries", "quiet")


def _first(text: Any) -> str:
    line = (str(text).splitlines() or [""])[0]
    return line if len(line) <= VALUE_SHOWN else f"{line[:VALUE_SHOWN]}..."


def _error(file: str, step: Step, source: str) -> Iterator[Line]:
    error = step.error or {}
    if error.get("line"):
        yield Line(f"  {file}:{error['line']}:{error['column']}", "place")
        yield from _excerpt(source, error["line"], error["column"])
    first, *more = str(error["message"]).splitlines() or [""]
    yield Line(f"  {error['kind']}: {first}", "bad")
    yield from (Line(f"  {line}") for line in more)
    if error.get("hint"):
        yield Line(f"  = {error['hint']}", "hint")


def _assertion(file: str, check: Mapping[str, Any], source: str) -> Iterator[Line]:
    yield Line(f"  {file}:{check['line']}:{check['column']}", "place")
    yield from _excerpt(source, check["line"], check["column"])
    yield Line(f"  assertion failed: {check['message'] or check['expression']}", "bad")
    if check["error"]:
        yield Line(f"    {check['error']}")
    operator = check.get("operator", "")
    how = "" if operator in ("", "==") else f"{operator} "
    expected, actual = sides(check)
    if expected:
        yield Line(f"    expected: {how}{_short(check['expected'])}", "good")
    if actual:
        yield Line(f"      actual: {_short(check['actual'])}", "bad")
    for text, value in _values(check):
        yield Line(f"    {text} = {_short(value)}")
    whole = check.get("operator", "") in ("", "==")
    for line in (difference_lines(check["expected"], check["actual"]) if whole else ()) or check["diff"]:
        yield Line(f"    {line}", {"-": "good", "+": "bad"}.get(line[:1], ""))  # type: ignore[arg-type]


def sides(check: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the expected and the actual value are there to be shown: a side that could not be evaluated is no null."""
    expected, actual = check["expected"] is not None, check["actual"] is not None
    return (expected, actual) if check["error"] or not (expected or actual) else (True, True)


def _values(check: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parts of the expression, without what was said already; a record that was too big keeps not all of them."""
    for pair in check["values"]:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or pair[0] == check["expression"]:
            continue
        if pair[1] != check["actual"] or not check["expression"].startswith(f"{pair[0]} == "):
            yield str(pair[0]), pair[1]


def _excerpt(source: str, line: int, column: int) -> Iterator[Line]:
    lines = source.splitlines()
    if 0 < line <= len(lines):
        begin = max(0, column - SOURCE_SHOWN * 2 // 3) if len(lines[line - 1]) > SOURCE_SHOWN else 0
        text, left = lines[line - 1][begin : begin + SOURCE_SHOWN], "..." if begin else ""
        right = "..." if begin + SOURCE_SHOWN < len(lines[line - 1]) else ""
        yield Line(f"  {line:>5} | {left}{text}{right}")
        yield Line(f"        | {blank(left + text[: column - 1 - begin]).ljust(len(left) + column - 1 - begin)}^", "caret")


def exchange_lines(exchange: Mapping[str, Any] | None, *, curl: bool = True, whole: bool = False) -> Iterator[Line]:
    """What was sent and what came back, with the curl command of an HTTP request; shortened, unless the `whole` is wanted, as
    far as it was recorded."""
    if not exchange:
        return
    shown = WHOLE_SHOWN if whole else BODY_SHOWN
    request, response = exchange.get("request") or {}, exchange.get("response") or {}
    if "url" in request:
        yield Line(f"  > {request.get('method', '')} {request['url']}")
        if whole:
            yield from _headers(request.get("headers"), ">", whole)
            yield from _body(request.get("body"), ">", shown)
        for hop in exchange.get("redirects") or ():
            yield Line(f"  < {hop['status']} to {hop['location']}", "quiet")
    elif request:
        yield Line(f"  > {_short(request, VALUE_SHOWN)}")
    if "status" in response:
        time = f" in {response['time']:.0f} ms" if isinstance(response.get("time"), int | float) else ""
        yield Line(f"  < {response['status']}{time}")
        yield from _headers(response.get("headers"), "<", whole)
        yield from _body(response.get("body"), "<", shown)
    elif response:
        yield Line(f"  < {_short(response, shown)}")
    if curl and "url" in request and len(str(request.get("body") or "")) <= BODY_SHOWN:
        yield Line(f"  = {as_curl(request)}", "hint")


def _headers(headers: Any, sign: str, whole: bool) -> Iterator[Line]:
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            if whole or str(name).lower() in _TELLING_HEADERS:
                yield Line(f"  {sign} {name}: {value if whole else _first(value)}", "quiet")


def as_curl(request: Mapping[str, Any]) -> str:
    """The request as a curl command; masked values stay masked."""
    method, body = str(request.get("method", "GET")), request.get("body")
    words = ["curl", *_METHODS.get(method, ("-X", method))]
    headers = request.get("headers")
    for name, value in (headers if isinstance(headers, Mapping) else {}).items():
        if name.lower() not in _QUIET_HEADERS and not name.lower().startswith("x-testmesh-"):
            words += ["-H", f"{name}: {value}"]
    if request.get("body_file"):
        words += ["-X", method] if method in _METHODS else []
        words += ["--data-binary", f"@{request['body_file']}"]
    elif body not in (None, ""):
        words += ["-X", method] if method in _METHODS else []
        words += ["--data-binary", body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)]
    return shlex.join([*words, str(request["url"])])


def _body(body: Any, sign: str, limit: int) -> Iterator[Line]:
    """The beginning of a body; of one that is not text, only its size."""
    if not body:
        return
    if isinstance(body, str) and sum(body[:BODY_SHOWN].count(mark) for mark in ("\x00", "\ufffd")) > 3:
        text = f"({len(body)} characters that are not text)"
    else:
        text = _short(body, limit)
    yield from (Line(f"  {sign} {line}") for line in text.splitlines())


def _short(value: Any, limit: int = VALUE_SHOWN) -> str:
    text = value if isinstance(value, str) and limit != VALUE_SHOWN else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
