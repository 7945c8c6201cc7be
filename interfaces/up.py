"""Everything on one machine: embedded servers, migration, first contact, and the supervised roles."""

from __future__ import annotations

import http.client
import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from domain.errors import Unavailable
from domain.values import dataclass
from interfaces.adapters import embedded
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.adapters.embedded_valkey import EmbeddedValkey
from interfaces.bootstrap import Platform, make_key
from interfaces.cli import credentials
from interfaces.limit_settings import as_environment
from interfaces.settings import Settings
from interfaces.signals import Stop, StopSignal
from interfaces.supervisor import Role, Supervisor
from interfaces.workers.roles import configure_logging

READY_SECONDS = 60.0
Server = EmbeddedPostgres | EmbeddedValkey
logger = logging.getLogger("testmesh.up")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Settings with every URL, and the servers that this process looks after."""

    settings: Settings
    servers: tuple[Server, ...]


def run_up(settings: Settings, *, workers: int = 1, foreground_logs: bool = False, config: str | None = None) -> int:
    """Start, look after everything until SIGTERM or SIGINT, stop in order. The exit code. `config` is the file that the
    settings come from; the roles read it too."""
    configure_logging(replace(settings, log_level="warning"), "up")
    stop = StopSignal()
    root = embedded.data_root()
    root.mkdir(parents=True, exist_ok=True)
    lock = embedded.RootLock(root)
    lock.take()
    servers: list[Server] = []
    supervisor: Supervisor | None = None
    try:
        prepared = prepare(settings, root, servers)
        key = announce(prepared.settings)
        logs = None if foreground_logs else root / "logs"
        supervisor = Supervisor(roles(workers, settings), prepared.servers, environment(prepared.settings, config), logs)
        supervisor.start()
        _wait_until_ready(prepared.settings, stop, key)
        where = f"; logs in {logs}" if logs else ""
        print(f"ready: http://{prepared.settings.host}:{prepared.settings.port}{where}", file=sys.stderr, flush=True)
        supervisor.watch(stop)
        print("stopping: workers drain", file=sys.stderr, flush=True)
    finally:
        if supervisor is not None:
            supervisor.stop()
        else:
            for server in reversed(servers):
                server.stop()
        lock.release()
    return 0


def prepare(settings: Settings, root: Path, servers: list[Server]) -> Prepared:
    """Servers that no URL names are started (and put into `servers`), the key file is made, the database migrated."""
    if not settings.database_url:
        postgres = EmbeddedPostgres(root)
        servers.append(postgres)
        settings = replace(settings, database_url=postgres.start())
    if not settings.redis_url:
        valkey = EmbeddedValkey(root)
        servers.append(valkey)
        settings = replace(settings, redis_url=valkey.start())
    if not settings.key_file:
        if settings.database_url and not any(isinstance(server, EmbeddedPostgres) for server in servers):
            raise Unavailable(
                "a server with its own database needs a key file of its own, kept with its backups",
                remedy="make one (openssl rand -hex 32 > testmesh.key) and set TESTMESH_KEY_FILE",
            )
        make_key(root / "key")
        settings = replace(settings, key_file=str(root / "key"))
    settings = replace(settings, checkpoint_file=settings.checkpoint_file or str(root / "checkpoints"))
    platform = Platform(settings)
    try:
        for migrated in platform.migrate().values():
            if migrated.missing_roles:
                logger.warning("roles that this account may not make: %s", ", ".join(migrated.missing_roles))
    finally:
        platform.close()
    return Prepared(settings, tuple(servers))


def announce(settings: Settings) -> str | None:
    """First contact: a workspace, an owner and one key, which is printed once. The key, None later."""
    platform = Platform(settings)
    try:
        key = platform.identity.first_contact()
    finally:
        platform.close()
    if key is None:
        return None
    url = f"http://{settings.host}:{settings.port}"
    path = credentials.save(url, key.text)
    print(f"workspace `default` with owner `owner` is new; its API key, shown once:\n\n  {key.text}\n", file=sys.stderr)
    print(f"it is kept for this user in {path}", file=sys.stderr, flush=True)
    return key.text


def roles(workers: int, settings: Settings) -> list[Role]:
    """The processes, in the order in which they stop. Their metrics ports follow one another from the one that is set."""
    drain = settings.worker_drain + 15.0
    made = [
        Role("server", ["server"]),
        *(Role(f"worker-{number + 1}", ["worker"], patience=drain) for number in range(workers)),
        Role("projector", ["projector"], patience=20.0),
        Role("scheduler", ["scheduler"], patience=20.0),
    ]
    if settings.metrics_port:
        for number, role in enumerate(made):
            role.environ = {"TESTMESH_METRICS_PORT": str(settings.metrics_port + number)}
    return made


def environment(settings: Settings, config: str | None = None) -> dict[str, str]:
    """What the roles are started with: this process's environment, the file of settings, and what `up` has found."""
    values = {
        "TESTMESH_DATABASE_URL": settings.database_url,
        "TESTMESH_REDIS_URL": settings.redis_url,
        "TESTMESH_KEY_FILE": settings.key_file,
        "TESTMESH_CHECKPOINT_FILE": settings.checkpoint_file,
        "TESTMESH_HOST": settings.host,
        "TESTMESH_PORT": str(settings.port),
        "TESTMESH_EGRESS_ALLOW": ",".join(settings.egress_allow),
        "TESTMESH_MOCK_BIND": settings.mock_bind,
    }
    file = {"TESTMESH_CONFIG": str(Path(config).absolute())} if config else {}
    return {**os.environ, **values, **file, **as_environment(settings.limits)}


def _wait_until_ready(settings: Settings, stop: Stop, key: str | None) -> None:
    """Until the API answers, and knows the key that was shown just now, which the projector must have seen."""
    asked = [("/ready", "")] + ([("/api/v1/whoami", f"Bearer {key}")] if key is not None else [])
    end = time.monotonic() + READY_SECONDS
    while asked and not stop.wait(0.1):
        if _answers(settings, *asked[0]):
            asked.pop(0)
        elif time.monotonic() > end:
            raise Unavailable("the server does not become ready; see its log")


def _answers(settings: Settings, path: str, authorization: str) -> bool:
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=2)
    try:
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
