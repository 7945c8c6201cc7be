"""A role that is started by itself and cannot work says why, in a line and a remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interfaces.bootstrap import make_key


def told(role: str, folder: Path, **environ: str) -> str:
    """What the role says on stderr before it ends with 3, its log lines apart."""
    make_key(folder / "key")
    settings = {"TESTMESH_KEY_FILE": str(folder / "key"), "TESTMESH_PORT": "0", "TESTMESH_DATA_DIR": str(folder), **environ}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TESTMESH_")}
    argv = [sys.executable, "-m", "interfaces.cli.main", role]
    done = subprocess.run(argv, env={**inherited, **settings}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("role", ["worker", "projector", "scheduler"])
def test_a_database_that_is_not_there_is_no_bug(role: str, tmp_path: Path) -> None:
    url = "postgresql://u:sesame@127.0.0.1:1/db"
    said = told(role, tmp_path, TESTMESH_DATABASE_URL=url, TESTMESH_REDIS_URL="redis://127.0.0.1:1/0")
    assert "error: PostgreSQL cannot be used: " in said
    assert "TESTMESH_DATABASE_URL" in said
    assert "sesame" not in said


@pytest.mark.servers
@pytest.mark.parametrize("role", ["worker", "projector", "scheduler"])
def test_a_database_without_tables_is_to_be_migrated(
    role: str, tmp_path: Path, fresh_database: Callable[[], str], valkey_url: str
) -> None:
    said = told(role, tmp_path, TESTMESH_DATABASE_URL=fresh_database(), TESTMESH_REDIS_URL=valkey_url)
    assert "run `testmesh admin migrate`" in said


@pytest.mark.servers
def test_a_port_of_metrics_that_is_taken_is_named(tmp_path: Path, database_url: str, valkey_url: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        said = told(
            "worker", tmp_path, TESTMESH_DATABASE_URL=database_url, TESTMESH_REDIS_URL=valkey_url, TESTMESH_METRICS_PORT=port
        )
    assert f"error: 127.0.0.1:{port} cannot be used for metrics: Address already in use" in said
    assert "TESTMESH_METRICS_PORT" in said
