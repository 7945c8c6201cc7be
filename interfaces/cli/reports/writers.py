"""Report files: JUnit XML, JSON and JSON lines, all from the collected events."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import orjson

from domain.errors import Invalid, Unavailable
from interfaces.cli.reports.failure import failure_text
from interfaces.cli.reports.model import Execution, Step

COUNTS = ("tests", "failures", "errors", "skipped")
VERSION = 1
"""Of the JSON forms; it rises when a field changes its meaning or goes."""


def parse_report(text: str) -> tuple[str, Path]:
    """`KIND=PATH`, or a path whose suffix tells the kind."""
    kind, equals, path = text.partition("=")
    if not equals:
        kind, path = {".xml": "junit", ".json": "json", ".jsonl": "jsonl"}.get(Path(text).suffix, ""), text
    if kind not in WRITERS or not path:
        raise Invalid(f"{text!r} is not KIND=PATH", remedy=f"kinds: {', '.join(WRITERS)}; for example --report junit=out.xml")
    return kind, Path(path)


def write_report(kind: str, path: Path, executions: Iterable[Execution], sources: Mapping[str, str]) -> None:
    """Write one report; its folder is made. `sources` holds flow texts by file name."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.part")
        with partial.open("wb") as file:
            file.writelines(WRITERS[kind](executions, sources))
        partial.replace(path)
    except OSError as error:
        raise Unavailable(f"the report {path} cannot be written: {error.strerror}") from error


def junit(executions: Iterable[Execution], sources: Mapping[str, str]) -> Iterator[bytes]:
    """One suite an execution, one case a step of its last attempt. The counts of all stand first, so the suites wait in a
    file meanwhile."""
    counts, seconds = Counter[str](), 0.0
    with tempfile.TemporaryFile() as suites:
        for execution in executions:
            suite = _suite(execution, sources)
            counts.update({name: int(suite.get(name, "0")) for name in COUNTS})
            seconds += execution.seconds
            Xml.indent(suite, level=1)
            suites.write(b"  " + Xml.tostring(suite, encoding="utf-8").strip() + b"\n")
        told = {name: str(counts[name]) for name in COUNTS}
        root = Xml.Element("testsuites", {"name": "testmesh", **told, "time": f"{seconds:.3f}"})
        head = Xml.tostring(root, encoding="utf-8", xml_declaration=True, short_empty_elements=False)
        yield head.removesuffix(b"</testsuites>") + b"\n"
        suites.seek(0)
        yield from suites
        yield b"</testsuites>\n"


def _suite(execution: Execution, sources: Mapping[str, str]) -> Xml.Element:
    steps = execution.last_steps
    suite = Xml.Element("testsuite", name=_clean(execution.title), file=_clean(execution.file), time=f"{execution.seconds:.3f}")
    if execution.started_at is not None:
        suite.set("timestamp", execution.started_at.isoformat(timespec="seconds"))
    for step in steps:
        suite.append(_case(execution, step, sources))
    if not any(step.verdict in ("failed", "error", "timed_out", "cancelled") for step in steps):
        _verdict_case(suite, execution)
    counts = {
        "tests": len(suite),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    for name, count in counts.items():
        suite.set(name, str(count))
    return suite


def _verdict_case(suite: Xml.Element, execution: Execution) -> None:
    """A flow that did not pass although every step did (lost workers, an unreadable definition) still shows as bad."""
    if execution.verdict in ("passed", "passed_on_retry"):
        return
    case = Xml.SubElement(suite, "testcase", classname=_clean(execution.file), name=_clean(execution.title), time="0")
    tag = "failure" if execution.verdict == "failed" else "error"
    Xml.SubElement(case, tag, type=execution.cause or str(execution.verdict), message=_clean(execution.message))


def _case(execution: Execution, step: Step, sources: Mapping[str, str]) -> Xml.Element:
    case = Xml.Element("testcase", classname=_clean(execution.file), name=_clean(f"{step.phase}: {step.name}"))
    case.set("time", f"{step.duration_ms / 1000:.3f}")
    if step.verdict == "skipped":
        Xml.SubElement(case, "skipped", message=_clean(str(step.outcome.get("reason") or "")))
    elif step.verdict in ("failed", "error", "timed_out", "cancelled"):
        text = failure_text(execution, step, sources)
        tag = "failure" if step.verdict == "failed" else "error"
        kind = step.error["kind"] if step.error else "assertion"
        Xml.SubElement(case, tag, type=kind, message=_clean(summary(step))).text = _clean(text)
    if step.logs:
        lines = "\n".join(f"[{line['level']}] {line['message']}" for line in step.logs)
        Xml.SubElement(case, "system-out").text = _clean(lines)
    return case


def summary(step: Step) -> str:
    """One line that says why a step is bad."""
    if step.error:
        return str(step.error["message"])
    failed = step.failed_assertions
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{failed[0]['message'] or failed[0]['expression']}{more}"
    return str(step.outcome.get("reason") or step.verdict)


def _clean(text: str) -> str:
    """Text that XML 1.0 may hold."""
    return "".join(c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff")


def as_json(executions: Iterable[Execution], sources: Mapping[str, str]) -> Iterator[bytes]:
    """Everything that was recorded, one object."""
    yield b'{"version":%d,"executions":[' % VERSION
    for number, execution in enumerate(executions):
        yield (b",\n" if number else b"\n") + orjson.dumps(as_record(execution), option=orjson.OPT_NON_STR_KEYS)
    yield b"\n]}\n"


def as_record(execution: Execution) -> dict[str, Any]:
    """One execution as plain data."""
    return {
        "id": execution.id,
        "flow": execution.name,
        "file": execution.file,
        "case": execution.case,
        "verdict": execution.verdict,
        "cause": execution.cause,
        "message": execution.message,
        "attempt": execution.attempt,
        "seed": execution.seed,
        "started_at": execution.started_at,
        "finished_at": execution.finished_at,
        "duration_ms": round(execution.seconds * 1000, 3),
        "outputs": execution.outputs,
        "steps": [_step_record(step) for step in execution.steps],
    }


def _step_record(step: Step) -> dict[str, Any]:
    return {
        "path": step.path,
        "phase": step.phase,
        "number": step.number,
        "name": step.name,
        "action": step.action,
        "attempt": step.attempt,
        "verdict": step.verdict,
        "duration_ms": step.duration_ms,
        "outcome": step.outcome,
        "logs": step.logs,
    }


def jsonl(executions: Iterable[Execution], sources: Mapping[str, str]) -> Iterator[bytes]:
    """The events themselves, one a line."""
    for execution in executions:
        for event in execution.events:
            yield orjson.dumps({"version": VERSION, **event}, option=orjson.OPT_APPEND_NEWLINE)


WRITERS: Mapping[str, Callable[[Iterable[Execution], Mapping[str, str]], Iterator[bytes]]] = {
    "junit": junit,
    "json": as_json,
    "jsonl": jsonl,
}
