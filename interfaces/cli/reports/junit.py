"""JUnit XML: one suite an execution, one case a step."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as Xml

from interfaces.cli.reports.failure import failure_text, summary
from interfaces.cli.reports.model import Collected, Execution, Step

COUNTS = ("tests", "failures", "errors", "skipped")


def junit(executions: Collected, sources: Mapping[str, str]) -> Iterator[bytes]:
    """One suite an execution, one case a step of its last attempt. The counts of all stand first, so the suites wait in a
    file meanwhile."""
    counts, seconds = Counter[str](), 0.0
    with tempfile.TemporaryFile() as suites:
        for suite in _suites(executions, sources):
            counts.update({name: int(suite.get(name, "0")) for name in COUNTS})
            seconds += float(suite.get("time", "0"))
            Xml.indent(suite, level=1)
            suites.write(b"  " + Xml.tostring(suite, encoding="utf-8").strip() + b"\n")
        told = {name: str(counts[name]) for name in COUNTS}
        root = Xml.Element("testsuites", {"name": "testmesh", **told, "time": f"{seconds:.3f}"})
        head = Xml.tostring(root, encoding="utf-8", xml_declaration=True, short_empty_elements=False)
        yield head.removesuffix(b"</testsuites>") + b"\n"
        suites.seek(0)
        yield from suites
        yield b"</testsuites>\n"


def _suites(executions: Collected, sources: Mapping[str, str]) -> Iterator[Xml.Element]:
    for execution in executions:
        yield _suite(execution, sources)
    repeated = executions.repeated
    for execution in executions.superseded():
        yield _skipped(execution.title, execution.file, f"{execution.verdict}, and repeated by {repeated[execution.id]}")
    for name, why in executions.skipped:
        yield _skipped(name, "", why)


def _skipped(name: str, file: str, why: str) -> Xml.Element:
    """A suite of one case that says why nothing counts here."""
    suite = Xml.Element("testsuite", name=_clean(name), file=_clean(file), time="0.000")
    suite.attrib.update({"tests": "1", "failures": "0", "errors": "0", "skipped": "1"})
    case = Xml.SubElement(suite, "testcase", classname=_clean(file), name=_clean(name), time="0")
    Xml.SubElement(case, "skipped", message=_clean(why))
    return suite


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
    kind = execution.cause or execution.verdict or "unfinished"
    message = execution.message or ("" if execution.verdict else "it was not followed to its end")
    Xml.SubElement(case, tag, type=kind, message=_clean(message))


def _case(execution: Execution, step: Step, sources: Mapping[str, str]) -> Xml.Element:
    case = Xml.Element("testcase", classname=_clean(execution.file), name=_clean(f"{step.phase}: {step.where}"))
    case.set("time", f"{step.duration_ms / 1000:.3f}")
    if step.verdict == "skipped":
        Xml.SubElement(case, "skipped", message=_clean(str(step.outcome.get("reason") or "")))
    elif step.verdict in ("failed", "error", "timed_out", "cancelled"):
        text = failure_text(execution, step, sources)
        tag = "failure" if step.verdict == "failed" else "error"
        kind = step.error["kind"] if step.error else "assertion" if step.verdict == "failed" else step.verdict
        Xml.SubElement(case, tag, type=kind, message=_clean(summary(step))).text = _clean(text)
    if step.logs:
        lines = "\n".join(f"[{line['level']}] {line['message']}" for line in step.logs)
        Xml.SubElement(case, "system-out").text = _clean(lines)
    return case


def _clean(text: str) -> str:
    """Text that XML 1.0 may hold."""
    return "".join(c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff")
