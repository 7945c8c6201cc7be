"""The embedded servers: found again, restarted after SIGKILL with nothing lost, one owner a folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from domain.errors import Conflict, Unavailable
from interfaces.adapters import embedded
from interfaces.adapters.embedded import RootLock, free_port
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.adapters.embedded_valkey import EmbeddedValkey
from interfaces.offline import embedded_settings
from interfaces.settings import Settings

pytestmark = pytest.mark.servers


@pytest.fixture
def root() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tm"))
    yield path
    shutil.rmtree(path)


def killed(server: EmbeddedPostgres | EmbeddedValkey) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.alive():
        pass


def test_postgresql_keeps_committed_rows_through_sigkill_and_stop(root: Path):
    server = EmbeddedPostgres(root)
    url = server.start()
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE t (a int)")
            connection.execute("INSERT INTO t VALUES (1)")
        before = server.pid
        killed(server)
        server.ensure()
        assert server.pid != before
        assert server.url == url
        server.stop()
        assert EmbeddedPostgres(root)._data.exists()
        again = EmbeddedPostgres(root)
        with psycopg.connect(again.start()) as connection:
            row = connection.execute("SELECT a, current_setting('fsync') FROM t").fetchone()
        again.stop()
        assert row == (1, "on")
    finally:
        server.stop()


def test_a_living_postgresql_is_adopted(root: Path):
    first = EmbeddedPostgres(root, fsync=False)
    first.start()
    try:
        second = EmbeddedPostgres(root, fsync=False)
        assert (second.start(), second.pid) == (first.url, first.pid)
    finally:
        first.stop()


def test_valkey_keeps_acknowledged_entries_and_a_living_one_is_adopted(root: Path):
    server = EmbeddedValkey(root)
    url = server.start()
    try:
        with redis.Redis.from_url(url) as client:
            client.xadd("s", {"a": 1})
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        adopted = EmbeddedValkey(root)
        assert (adopted.start(), adopted.pid) == (url, server.pid)
        killed(server)
        server.ensure()
        with redis.Redis.from_url(server.url) as client:
            assert client.xlen("s") == 1
    finally:
        server.stop()


def test_servers_of_a_running_up_that_do_not_answer_are_named(root: Path):
    """As for `testmesh doctor` beside it: the queue is not left out, and nobody waits a minute for PostgreSQL."""
    server, valkey, owner = EmbeddedPostgres(root, fsync=False), EmbeddedValkey(root), RootLock(root)
    url, queue = server.start(), valkey.start()
    owner.take()
    try:
        assert valkey.pid is not None
        assert server.pid is not None
        os.kill(valkey.pid, signal.SIGSTOP)
        settings, _ = embedded_settings(Settings(), root)
        assert (settings.database_url, settings.redis_url) == (url, queue)
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable, match=rf"PostgreSQL of {root} \(process {server.pid}\) does not answer"):
            EmbeddedPostgres(root).running_url(0.1)
        os.kill(server.pid, signal.SIGCONT)
        server.stop()
        with pytest.raises(Unavailable, match=rf"PostgreSQL of {root} does not run"):
            EmbeddedPostgres(root).running_url(0.1)
    finally:
        for frozen in (server, valkey):
            if frozen.pid is not None:
                os.kill(frozen.pid, signal.SIGCONT)
            frozen.stop()
        owner.release()


def test_a_cluster_of_another_major_version_is_left_alone_with_advice(root: Path):
    server = EmbeddedPostgres(root, fsync=False)
    server.start()
    server.stop()
    (root / "postgres" / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(Conflict, match=r"testmesh admin backup.*testmesh admin restore"):
        EmbeddedPostgres(root, fsync=False).start()


def test_an_account_that_cannot_reach_the_package_gets_a_copy_that_works(root: Path, tmp_path: Path):
    """As on a machine where the environment lies in a folder of its owner alone, such as /root."""
    install = embedded.packaged("embedded_postgres", "pginstall")
    assert install is not None
    hidden = tmp_path / "hidden"
    for folder in (install.parent, install.parent.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, hidden / folder.name, symlinks=True)
    hidden.chmod(0o700)
    account = embedded.server_account()
    path = hidden / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    assert embedded.reachable(path, account) == (account.uid is None)
    root.chmod(0o711)
    copy = embedded.copied(hidden / "embedded_postgres", root, account) / "pginstall" / "bin" / "initdb"
    shutil.rmtree(hidden)
    run = {} if account.uid is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    told = subprocess.run([str(copy), "--version"], capture_output=True, text=True, cwd="/", check=False, **run)
    assert told.stdout.startswith("initdb (PostgreSQL) "), told.stderr


def test_a_taken_port_is_replaced():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert free_port(taken) != taken


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])
def test_a_file_of_the_port_that_a_full_disk_left_empty_is_written_anew(
    root: Path, kind: type[EmbeddedPostgres] | type[EmbeddedValkey]
):
    server = kind(root)
    server.start()
    try:
        (kept,) = root.glob("*/port")
        killed(server)
        kept.write_text("")
        server.ensure()
        assert f":{int(kept.read_text())}/" in server.url
        assert server.alive()
    finally:
        server.stop()


def test_a_data_root_has_one_owner(tmp_path: Path):
    first, second = RootLock(tmp_path), RootLock(tmp_path)
    first.take()
    with pytest.raises(Conflict, match=str(os.getpid())):
        second.take()
    first.release()
    second.take()
    second.release()


def test_passwords_are_for_the_owner_alone(root: Path):
    server = EmbeddedValkey(root)
    server.start()
    server.stop()
    for name in ("password", "valkey.conf"):
        assert (root / "valkey" / name).stat().st_mode & 0o077 == 0
