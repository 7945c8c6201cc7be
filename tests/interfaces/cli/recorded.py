"""Events of executions as they are recorded, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from interfaces.cli.reports.model import Collector

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> ]]> <!-- \x1b[31mred\x1b[0m\u202e @everyone"
    " [link](javascript:0) ``` | # SKIP injected\n::set-output name=a::b\n##[add-mask]x\nBail out!\r\n...\n---"
)
SOURCE = "flow:\n  name: </script><img src=x onerror=alert(3)>\n"
AT = "2026-01-02T03:04:05.{:06d}+00:00"


class Recording:
    """Adds events of one execution to a collector."""

    def __init__(self, collector: Collector, id: str) -> None:
        self._collector = collector
        self._id = id
        self._version = 0

    def add(self, topic: str, **data: Any) -> None:
        """One more event."""
        self._version += 1
        event = {"execution": self._id, "version": self._version, "topic": f"execution.{topic}", "at": AT.format(self._version)}
        self._collector.add({"feed_id": self._version, **event, "event": data})


def outcome(verdict: str, text: str = "x", **more: Any) -> dict[str, Any]:
    """A step's outcome; one that failed has an assertion that did not hold."""
    check = {"expression": "body == 'y'", "passed": verdict != "failed", "message": text, "error": None, "line": 2, "column": 3}
    check |= {
        "offset": 0,
        "expected": [text],
        "actual": [f"not {text}"],
        "operator": "==",
        "values": [["body", text]],
        "diff": [],
    }
    request = {"method": "GET", "url": f"http://h/{text}", "headers": {text: text}, "body": text}
    exchange = {"request": request, "response": {"status": 200, "headers": {"Content-Type": text}, "body": text, "time": 1.5}}
    made = {"number": 1, "verdict": verdict, "duration_ms": 1.0, "error": None, "assertions": [check]}
    found = {"verdict": verdict, "duration_ms": 1.0, "tries": [made], "outputs": {text: text}, "result": {"body": text}}
    return {**found, "error": None, "reason": None, "exchange": exchange, "file": None, **more}


def record(collector: Collector, id: str, verdict: str, text: str = "x", path: str = "one", file: str = "f.yaml") -> None:
    """One execution with one step."""
    events = Recording(collector, id)
    events.add("requested", flow_name=f"flow {text}", file=file, seed="7", case="", variables={})
    events.add("attempt_started", attempt=1)
    name = path.rpartition("/")[2] if text == "x" else text
    events.add("step_started", attempt=1, path=path, phase="steps", number=1, name=name, action="http_request")
    events.add("log_written", attempt=1, path=path, lines=[{"level": "info", "message": text}])
    events.add("step_finished", attempt=1, path=path, phase="steps", outcome=outcome(verdict, text), state={}, payload=None)
    events.add("finished", attempt=1, verdict=verdict, cause="", message=text, outputs={})


def recorded(*verdicts: str, path: str = "one") -> Collector:
    """Executions id-0, id-1, ... with these verdicts."""
    collector = Collector()
    for number, verdict in enumerate(verdicts):
        record(collector, f"id-{number}", verdict, path=path)
    return collector


def hostile_run(id: str = "id-0") -> Collector:
    """A failed execution in which every text from outside wants to be more than a text."""
    collector = Collector()
    record(collector, id, "failed", HOSTILE)
    return collector
