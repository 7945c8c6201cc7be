"""Metrics of every role on ports of their own, without the names of tenants."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from interfaces.adapters.embedded import free_port
from tests.support.program import Program

pytestmark = pytest.mark.system
FLOW = "flow:\n  name: measured\n  steps:\n    - {action: log, config: {message: x}}\n"


def _metrics(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics").text


def test_each_role_tells_what_it_does(new_program: Callable[..., Program]) -> None:
    program = new_program("--workers", "2")
    first = free_run(5)
    program.environ["TESTMESH_METRICS_PORT"] = str(first)
    program.up()
    (program.folder / "f.yaml").write_text(FLOW)
    assert program.run("run", "--remote", "f.yaml").returncode == 0
    server, one, two, projector, scheduler = (_metrics(first + number) for number in range(5))
    assert 'testmesh_http_requests_total{route="executions_request",status="202"} 1.0' in server
    assert "testmesh_worker_running 0.0" in one
    assert "testmesh_worker_finished 1.0" in one + two
    assert 'testmesh_projection_behind{projection="live_feed"} 0.0' in projector
    assert 'testmesh_executions{status="finished"} 1.0' in projector
    assert "testmesh_schedules 0.0" in scheduler
    assert "testmesh_scheduler_lag_seconds 0.0" in scheduler
    workspace = httpx.get(
        f"{program.key()['url']}/api/v1/whoami", headers={"Authorization": f"Bearer {program.key()['key']}"}
    ).json()["workspace"]
    assert workspace not in server + one + two + projector + scheduler
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{first + 5}/metrics")
    assert httpx.get(f"{program.key()['url']}/metrics").status_code == 404


def free_run(count: int) -> int:
    """The first of some free ports in a row, the one behind them free too."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        first = free_port(None)
        if all(free_port(first + number) == first + number for number in range(1, count + 1)):
            return first
    raise AssertionError("no free ports in a row")
