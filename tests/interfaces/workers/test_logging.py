"""The roles' logs: a line an event, whatever it says, and nothing twice."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace

import orjson
import psycopg
import pytest

from interfaces.settings import Settings
from interfaces.workers.roles import configure_logging


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The root logger is as before afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_message_of_several_lines_is_one_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(replace(Settings(), log_format=form), "worker")
    logging.getLogger("testmesh.worker").warning("first\nworker INFO second \x1b[31m")
    (line,) = capsys.readouterr().err.splitlines()
    shown = orjson.loads(line)["message"] if form == "json" else line.encode().decode("unicode_escape")
    assert shown.endswith("first\nworker INFO second \x1b[31m")


def test_a_trace_stands_behind_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), "worker")
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("testmesh.worker").exception("it failed")
    first, *trace = capsys.readouterr().err.splitlines()
    assert (first.endswith("ERROR testmesh.worker: it failed"), trace[0]) == (True, "Traceback (most recent call last):")


@pytest.mark.servers
def test_a_pipeline_whose_connection_is_cut_is_told_once(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), "worker")
    with psycopg.connect(postgres_url, autocommit=True) as connection, psycopg.connect(postgres_url, autocommit=True) as other:
        pid = connection.info.backend_pid
        with contextlib.suppress(psycopg.OperationalError), connection.pipeline():
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            connection.execute("SELECT 1").fetchone()
        assert connection.broken
    assert "error ignored terminating" not in capsys.readouterr().err
