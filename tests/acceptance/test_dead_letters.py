"""Garbage in the real queue: parked, told by doctor and metrics, kept when Valkey is emptied, an operator decides."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis

from interfaces.adapters.redis_streams import STREAM
from tests.acceptance.test_metrics import free_run
from tests.support.program import Program

pytestmark = pytest.mark.system
FLOW = "flow:\n  name: after\n  steps:\n    - {action: log, config: {message: x}}\n"


def letters(program: Program, count: int, *options: str) -> list[dict[str, Any]]:
    """The letters, once there are so many."""
    end = time.monotonic() + 20
    while len(found := program.json("admin", "dead-letters", "ls", *options)) != count:
        assert time.monotonic() < end, found
        time.sleep(0.2)
    return list(found)


def test_an_operator_finds_inspects_requeues_and_discards_what_the_queue_cannot_run(
    new_program: Callable[..., Program],
) -> None:
    program = new_program()
    port = free_run(3)
    program.environ["TESTMESH_METRICS_PORT"] = str(port)
    program.up()
    unknown = str(uuid4())
    with redis.Redis.from_url(program.valkey_url()) as client:
        client.xadd(STREAM, {"surprise": b"\xff\x00"})
        client.xadd(STREAM, {"execution": unknown, "attempt": "1", "kind": "attempt", "number": "0"})
        found = letters(program, 2)
        client.flushall()
    assert letters(program, 2) == found
    by_reason = {letter["reason"]: letter["id"] for letter in found}
    lost, odd = by_reason[f"there is no execution {unknown}"], by_reason["not a command of this version"]
    assert unknown in program.run("admin", "dead-letters", "get", lost).stdout
    doctor = program.run("doctor").stdout
    assert "warning  dead letters: 2 wait: testmesh admin dead-letters ls" in doctor
    assert "testmesh_dead_letters 2.0" in httpx.get(f"http://127.0.0.1:{port + 2}/metrics").text

    done = program.run("admin", "dead-letters", "requeue", lost)
    assert (done.returncode, f"{lost} is in the queue again" in done.stderr) == (0, True)
    again = letters(program, 2)
    assert lost not in {letter["id"] for letter in again}, "it came back as another letter"
    assert program.run("admin", "dead-letters", "discard", odd, *(x["id"] for x in again if x["id"] != odd)).returncode == 0
    assert letters(program, 0) == []
    decided = {letter["id"]: letter for letter in letters(program, 3, "--decided")}
    key = program.key()["key"][4:16]
    assert (decided[lost]["decision"], decided[lost]["decided_by"]) == ("requeued", f"key:{key}")
    assert decided[odd]["decision"] == "discarded"
    assert all(letter["decided_at"] for letter in decided.values())
    twice = program.run("admin", "dead-letters", "requeue", odd)
    assert (twice.returncode, "was discarded already" in twice.stderr) == (2, True)
    (program.folder / "f.yaml").write_text(FLOW)
    assert program.run("run", "--remote", "f.yaml").returncode == 0
