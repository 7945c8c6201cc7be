"""R15: what pg_dump takes from a busy system is, beside an empty queue, a system that keeps every promise."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.bootstrap import Platform
from interfaces.settings import Settings
from tests.chaos.afterwards import read_models_equal_a_rebuild, wait_for_the_end
from tests.chaos.checker import broken_promises, read_log
from tests.chaos.clients import Clients
from tests.chaos.harness import until
from tests.chaos.trial import running
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R15"), pytest.mark.nightly]


def test_a_dump_taken_under_load_goes_on_beside_an_empty_queue(figure: Figure) -> None:
    root = Path(tempfile.mkdtemp(prefix="tmc"))
    dump = root / "dump"
    with running(workers=2, concurrency=16) as system:
        clients = Clients(system, count=6)
        clients.start(1_000_000)
        until(lambda: clients.answers["202"] > 200, "some work", 60)
        before = set(clients.journal.read().values())
        _tool(system.postgres, "pg_dump", "--format=custom", f"--file={dump}", f"--dbname={system.settings.database_url}")
        clients.stop()
        clients.join()
        key = system.key
        shutil.copy(system.root / "key", root / "key")
    (root / "key").chmod(0o600)
    postgres = EmbeddedPostgres(root)
    platform = Platform(Settings(database_url=postgres.start()))
    platform.migrate()  # makes the roles that the dump speaks of
    platform.close()
    _tool(postgres, "pg_restore", "--clean", "--if-exists", f"--dbname={postgres.url}", str(dump))
    dumped = read_log(postgres.url)
    open_then = sum(events[-1][1] != "finished" for events in dumped.values())
    with running(root, workers=2, concurrency=16, postgres=postgres, key=key) as system:
        wait_for_the_end(postgres.url, 120)
        log = read_log(postgres.url)
        verdicts = {events[-1][2]["verdict"] for id, events in log.items() if dumped[id][-1][1] != "finished"}
        figure(
            f"dump of {len(dumped)} executions, {open_then} of them under way: {len(log)} ended after the restore, those with"
            f" {sorted(verdicts)}; {len(before - set(log))} of those accepted before the dump are missing"
        )
        assert open_then > 0, "nothing was under way: the test proves nothing"
        assert broken_promises(log, before) == []
        assert set(log) == set(dumped)
        assert read_models_equal_a_rebuild(system) > 0


def _tool(postgres: EmbeddedPostgres, name: str, *arguments: str) -> None:
    """One of PostgreSQL's own programs."""
    argv = [str(postgres._binaries() / name), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
