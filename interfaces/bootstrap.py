"""The composition root: puts settings, databases, logs, services and adapters together for the roles that need them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from application.attempts import Tools
from application.database import Database
from application.dead_letters import DeadLetters, Fields
from application.event_store import PostgresLog
from application.executions import Executions
from application.flows import Flows
from application.folders import Folders
from application.identity import Identity
from application.payloads import SealedPayloads
from application.queueing import QueueRules
from application.schedules import Schedules
from application.schema import LOGS
from application.sealer import Sealer
from application.suites import Suites
from domain.errors import Invalid, Unavailable
from interfaces.migration import AUDITOR, PROJECTOR, WRITER, Migrated, migrate, usable
from interfaces.settings import Settings

KEY_BYTES = 32


def read_key(path: Path) -> bytes:
    """The key that wraps the workspaces' keys: 64 hexadecimal digits in a file that only its owner reads."""
    try:
        key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise Unavailable(
            f"the key file {path} cannot be read: {error.strerror}. `testmesh up` makes one beside its data; a server with"
            " its own database is given one by TESTMESH_KEY_FILE (make it with: openssl rand -hex 32)"
        ) from error
    except ValueError as error:
        raise Invalid(f"the key file {path} does not hold 64 hexadecimal digits", code="invalid_key") from error
    if len(key) != KEY_BYTES or len(set(key)) < 8:
        raise Invalid(f"the key in {path} is not {KEY_BYTES} random bytes", code="invalid_key")
    return key


def make_key(path: Path) -> None:
    """A new key file, unless there is one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_bytes(KEY_BYTES).hex() + "\n")
    os.link(partial, path)
    partial.unlink()


def own_addresses(settings: Settings) -> set[tuple[str, int]]:
    """Addresses and ports of the platform itself, which no flow may reach whatever the operator's list says."""
    found: set[tuple[str, int]] = set()
    places = [(settings.host, settings.port)]
    for url, port in ((settings.redis_url, 6379), *((settings.database_of(log), 5432) for log in LOGS)):
        parts = urlsplit(url)
        if parts.hostname:
            places.append((parts.hostname, parts.port or port))
    for host, port in places:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            continue
        found |= {(str(answer[4][0]).split("%", 1)[0], port) for answer in answers}
    return found


def _no_queue(fields: Fields) -> None:
    raise Unavailable("no queue: set TESTMESH_REDIS_URL")


class Closing(Protocol):
    """What is open until the platform closes."""

    def close(self) -> None:
        """End it."""
        ...


class Platform:
    """What the roles of one process share; everything is made when first used, and closed together."""

    def __init__(self, settings: Settings, *, pool_size: int = 5, patience: float = 5.0) -> None:
        """`patience` is how long a connection is waited for, in seconds."""
        if not settings.database_url:
            raise Invalid("no database: set TESTMESH_DATABASE_URL, or start everything with `testmesh up`", code="no_database")
        self.settings = settings
        self._pool_size, self._patience = pool_size, patience
        self._opened: list[Closing] = []
        self._databases: dict[tuple[str, str], Database] = {}

    def migrate(self) -> dict[str, Migrated]:
        """Bring every database to this version."""
        from projections.registry import statements

        done: dict[str, Migrated] = {}
        for url in dict.fromkeys(self.settings.database_of(log) for log in LOGS):
            database = Database(url, size=1)
            done[url] = migrate(database, statements())
            database.close()
        return done

    def require_tables(self) -> None:
        """Unavailable unless every log has its tables: without them a role would fail at whatever it does."""
        for url in dict.fromkeys(self.settings.database_of(log) for log in LOGS):
            names = [f"{log}.events" for log in LOGS if self.settings.database_of(log) == url]
            with Database(url).connect() as connection:
                row = connection.execute(
                    "SELECT min(name) FROM unnest(%s::text[]) AS n(name) WHERE to_regclass(name) IS NULL", (names,)
                ).fetchone()
            if row is not None and row[0] is not None:
                raise Unavailable(
                    f"the database has no table {row[0]}",
                    remedy="run `testmesh admin migrate` (`testmesh up` does it by itself)",
                )

    def database(self, log: str, role: str = WRITER) -> Database:
        """The database of a log, for a role; without the role where this account cannot take it."""
        url = self.settings.database_of(log)
        if (url, role) not in self._databases:
            with Database(url).connect() as connection:
                taken = role if usable(connection, role) else None
            return self._kept(url, role, taken)
        return self._databases[url, role]

    def _kept(self, url: str, role: str, taken: str | None) -> Database:
        """One database a URL and role; it is closed with the platform."""
        if (url, role) not in self._databases:
            self._databases[url, role] = Database(url, size=self._pool_size, role=taken, patience=self._patience)
            self._opened.append(self._databases[url, role])
        return self._databases[url, role]

    def readers(self, log: str) -> Database:
        """The database of a log's read models, for the projector."""
        return self.database(log, PROJECTOR)

    def auditors(self, log: str) -> Database:
        """The database of a log, only to read it."""
        return self.database(log, AUDITOR)

    def owner(self, log: str) -> Database:
        """The database of a log as this account itself, which owns the tables."""
        return self._kept(self.settings.database_of(log), "", None)

    @cached_property
    def logs(self) -> Mapping[str, PostgresLog]:
        """The logs by name."""
        made = {log: PostgresLog(log, self.database(log)) for log in LOGS}
        self._opened.extend(made.values())
        return made

    @cached_property
    def key(self) -> bytes:
        """The key file's content."""
        if not self.settings.key_file:
            raise Invalid("no key file: set TESTMESH_KEY_FILE (make one with: openssl rand -hex 32)", code="no_key")
        return read_key(Path(self.settings.key_file))

    def payloads(self, log: str) -> SealedPayloads:
        """The payloads of a log."""
        return SealedPayloads(self.database(log), log, self.key)

    @cached_property
    def sealer(self) -> Sealer:
        """Seals the logs with the key that the key file gives."""
        from application.seals import signing_key

        file = Path(self.settings.checkpoint_file) if self.settings.checkpoint_file else None
        return Sealer({log: self.readers(log) for log in LOGS}, signing_key(self.key), file)

    @cached_property
    def executions(self) -> Executions:
        """Commands on executions."""
        return Executions(self.logs["executions"], self.payloads("executions"), self._rules)

    @property
    def _rules(self) -> QueueRules:
        return QueueRules(self.settings.queue_timeout, self.settings.workspace_concurrency)

    @cached_property
    def flows(self) -> Flows:
        """Commands on flows."""
        from application.actions.registry import ACTIONS

        return Flows(self.logs["flows"], self.payloads("flows"), ACTIONS)

    @cached_property
    def schedules(self) -> Schedules:
        """Commands on schedules, by the clock that schedulers go by."""
        from projections.schedule_list import ScheduleList

        return Schedules(self.logs["schedules"], self.flows, ScheduleList(self.database("schedules").pool).now)

    @cached_property
    def suites(self) -> Suites:
        """Commands on suite runs."""
        from interfaces.flow_directory import ListedFlows
        from projections.flow_list import FlowList

        listed = ListedFlows(FlowList(self.database("flows").pool))
        return Suites(self.logs["executions"], self.payloads("executions"), self.flows, listed, self._rules)

    @cached_property
    def identity(self) -> Identity:
        """Commands on workspaces, users and keys."""
        return Identity(self.logs["identity"], lambda: datetime.now(UTC))

    @cached_property
    def tools(self) -> Tools:
        """What a worker's attempts need. Flows reach only what the operator's allow list names besides public addresses."""
        from application.actions.registry import ACTIONS
        from application.engine.egress import WorkerPolicy
        from interfaces.adapters.made_up import made_up
        from interfaces.workers.plugins.apart import ActionsApart

        mask_key = hmac.new(self.key, b"testmesh masking", hashlib.sha256).digest()
        policy = WorkerPolicy(self.settings.egress_allow, own_addresses(self.settings))
        log, payloads, bind = self.logs["executions"], self.payloads("executions"), self.settings.mock_bind
        actions = ActionsApart(ACTIONS)
        return Tools(log, payloads, actions, policy, mask_key, folders=Folders(), faker=made_up, mock_bind=bind)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """What the queue could not run, and the way back into it."""
        from interfaces.adapters.redis_command_queue import RedisCommandQueue

        if not self.settings.redis_url:
            return DeadLetters(self.database("executions"), _no_queue)
        queue = RedisCommandQueue(self.settings.redis_url, self.settings.queue_shards)
        self._opened.append(queue)
        return DeadLetters(self.database("executions"), queue.send_fields)

    def close(self) -> None:
        """Commit what was handed in, then close every connection."""
        for opened in reversed(self._opened):
            opened.close()
        self._opened.clear()
