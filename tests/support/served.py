"""The real application on a real port over the real PostgreSQL, its read models kept up to date by threads."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from application import dead_letters
from application.actions.registry import ACTIONS
from application.coordinating import Coordinator
from application.executions import RunRequest
from application.flow_documents import read_flow
from domain.api_key import SCOPES
from domain.execution import Execution
from domain.suite_run import SuiteRun
from domain.user import User, user_uuid
from domain.workspace import Role, Workspace, workspace_uuid
from interfaces.bootstrap import Platform, make_key
from interfaces.rest.call import position_text
from interfaces.server import Served
from interfaces.settings import Settings
from interfaces.websocket.watching import Patience
from projections.positions import wait_for
from projections.projector import Projector
from projections.registry import LOGS, for_log
from tests.support import events
from tests.support.events import BY

FLOW = "name: Greet\nsteps:\n  - id: hello\n    action: log\n    config: {message: hi}\n"
_names = itertools.count()


@dataclass(frozen=True, slots=True)
class Room:
    """A workspace of one test, and a key of its owner that may do everything."""

    server: Server
    id: str
    owner: str
    key: str
    http: httpx.Client
    opened: ExitStack = field(default_factory=ExitStack)

    def path(self, rest: str = "") -> str:
        """A path below the workspace."""
        return f"/api/v1/workspaces/{self.id}{rest}"

    def member(self, login: str, role: Role) -> str:
        """A user of this workspace; the id."""
        self.server.platform.identity.add_member(BY, self.id, login, role)
        return str(user_uuid(login))

    def issue(self, *scopes: str, user: str = "", days: int = 9) -> str:
        """A key that works already."""
        identity = self.server.platform.identity
        issued = identity.issue_key(BY, self.id, "test", scopes or SCOPES, user=user or self.owner, days=days)
        self.server.wait("identity", issued.position)
        return issued.text

    def client(self, key: str | None) -> httpx.Client:
        """A client with another key, or with none; closed when the test ends."""
        return self.opened.enter_context(self.server.client(key))

    def push(self, text: str = FLOW, path: str = "greet.yaml", **more: Any) -> str:
        """Store a flow; its id, once it can be read."""
        response = self.http.post(self.path("/flows"), json={"documents": [{"path": path, "text": text}], **more})
        assert response.status_code == 200, response.text
        self.server.wait("flows", int(response.headers["X-Event-Position"].partition(":")[2]))
        return str(response.json()["items"][0]["id"])

    def request(self, **more: Any) -> UUID:
        """Accept a run of a small document; its id, once it can be read."""
        definition, _ = read_flow(FLOW, file="greet.yaml", actions=ACTIONS)
        id, position = self.server.platform.executions.request(BY, RunRequest(self.id, definition, FLOW, **more))
        self.server.wait("executions", position)
        return id

    def park(self) -> str:
        """A dead letter of the server's queue; its id."""
        platform, entry = self.server.platform, str(uuid4())
        dead_letters.park(platform.database("executions"), entry, {b"x": b"y"}, "not a command", "w")
        found = platform.dead_letters.page(decided=False, before=None, limit=200)
        return next(str(letter.id) for letter in found if letter.entry == entry)

    def schedule(self, **more: Any) -> str:
        """Let a flow run by itself; the id of the schedule, once it can be read."""
        body = {"name": "nightly", "cron": "0 3 * * *", **more}
        body.setdefault("flow", self.push())
        response = self.http.post(self.path("/schedules"), json=body)
        assert response.status_code == 201, response.text
        self.server.wait("schedules", int(response.headers["X-Event-Position"].partition(":")[2]))
        return str(response.json()["id"])

    def suite_run(self, *, finish: bool = False, **more: Any) -> str:
        """Accept a suite run of a flow that was pushed; its id, once it can be read. `finish` lets it fail."""
        more = more or {"flows": [self.push()]}
        response = self.http.post(self.path("/suite-runs"), json=more)
        assert response.status_code == 202, response.text
        id = UUID(response.json()["id"])
        if finish:
            self.coordinate(id, "failed")
        self.server.settled("executions")
        return str(id)

    def coordinate(self, id: UUID, verdict: str = "passed") -> SuiteRun:
        """Do what the coordinator and the workers record, until the suite run has its verdict."""
        platform = self.server.platform
        coordinator = Coordinator(platform.logs["executions"], platform.payloads("executions"), lambda: (0, [id]))
        ended: set[int] = set()
        while True:
            while coordinator.step():
                pass
            run = platform.logs["executions"].load(SuiteRun, id)
            if run.verdict is not None:
                self.server.settled("executions")
                return run
            for number in set(run.running()) - ended:
                execution = events.started(platform.logs["executions"].load(Execution, run.execution_of(number)))
                platform.logs["executions"].put(events.finished(execution, verdict))
                ended.add(number)

    def drive(self, id: UUID, steps: int = 3, *, finish: bool = True) -> int:
        """Do what a worker records: an attempt with some steps and, if wanted, its end; the position of the last event."""
        log = self.server.platform.logs["executions"]
        execution = log.load(Execution, id)
        if execution.status == "queued":
            events.started(execution)
        for _ in range(steps):
            events.step(execution, f"step{execution.version}")
        position = log.put(events.finished(execution) if finish else execution)
        self.server.wait("executions", position)
        return position


class Server:
    """One server process's worth of platform and faces, on a thread with its own event loop."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.platform = Platform(settings, pool_size=10)
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.served.port}"

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        self.served = Served(self.platform, name=f"served-{next(_names)}", **self._options)
        self.run(self.served.start())

    def run(self, work: Any) -> Any:
        """The result of a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        """End the server, its loop and its connections."""
        try:
            if self.served.listening:
                self.run(self.served.close())
            self.run(_cancel_the_rest())
            self.run(self._loop.shutdown_default_executor())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self.platform.close()

    def client(self, key: str | None) -> httpx.Client:
        """A client; close it."""
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False, verify=False)

    def wait(self, log: str, position: int) -> None:
        """Return when the read models of a log have reached a position."""
        database, names = self.platform.database(log), [projection.name for projection in for_log(log)]
        assert wait_for(database.pool, database.connect, log, names, position, 15), "the projector does not follow"

    def settled(self, log: str) -> str:
        """Wait for everything that a log holds now; its position as faces show it."""
        head = self.platform.logs[log].head()
        self.wait(log, head)
        return position_text(log, head)

    @contextmanager
    def room(self) -> Iterator[Room]:
        """A workspace of its own, with an owner."""
        owner = User.register(BY, f"owner-{uuid4()}", "")
        workspace = Workspace.open(BY, f"room-{uuid4()}")
        workspace.add_member(BY, str(owner.id), "owner")
        self.platform.logs["identity"].put(workspace, owner)
        user = str(owner.id)
        issued = self.platform.identity.issue_key(BY, str(workspace.id), "all", SCOPES, user=user)
        self.wait("identity", issued.position)
        with self.client(issued.text) as client, ExitStack() as opened:
            yield Room(self, str(workspace.id), user, issued.text, client, opened)

    @contextmanager
    def home(self) -> Iterator[Room]:
        """The workspace that was made with the installation, as its owner."""
        home, user = str(workspace_uuid("default")), str(user_uuid("owner"))
        issued = self.platform.identity.issue_key(BY, home, "all", SCOPES, user=user)
        self.wait("identity", issued.position)
        with self.client(issued.text) as client, ExitStack() as opened:
            yield Room(self, home, user, issued.text, client, opened)


async def _cancel_the_rest() -> None:
    """What asyncio.run does at its end."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


@contextmanager
def following(settings: Settings) -> Iterator[None]:
    """Projectors of the logs at work, with connections of their own as in the real system."""
    platform = Platform(settings, pool_size=3)
    stop = threading.Event()
    projectors = [_projector(platform, log) for log in LOGS]
    threads = [threading.Thread(target=projector.run, args=(stop,)) for projector in projectors]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        platform.close()


def _projector(platform: Platform, log: str) -> Projector:
    database = platform.readers(log)
    return Projector(database.pool, database.connect, log, for_log(log), platform.logs[log].read, poll_seconds=0.2)


@contextmanager
def serving(settings: Settings, **options: Any) -> Iterator[Server]:
    """A server with other options than the session's; `options` are those of `Served`."""
    server = Server(settings, **options)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def settings(fresh_database: Callable[[], str], valkey_url: str) -> Iterator[Settings]:
    """Settings of a migrated database with its first contact made, whose logs are followed, and of a queue."""
    with TemporaryDirectory() as folder:
        key_file = Path(folder) / "key"
        make_key(key_file)
        platform = Platform(
            made := Settings(database_url=fresh_database(), redis_url=valkey_url, key_file=str(key_file), port=0)
        )
        platform.migrate()
        platform.identity.first_contact()
        platform.close()
        with following(made):
            yield made


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[Server]:
    """The session's server."""
    with serving(settings) as server:
        yield server


@pytest.fixture(scope="session")
def impatient(settings: Settings) -> Iterator[Server]:
    """A second server of the same system that waits for nobody, keeps few events in memory, and whose identity has a
    pool of connections of its own."""
    apart = replace(settings, log_urls={"identity": f"{settings.database_url}?application_name=apart"})
    patience = Patience(send=0.5, again=0.2, heartbeat=0.2)
    with serving(apart, wait_seconds=0.3, body_seconds=0.4, kept=5, patience=patience) as server:
        yield server


@pytest.fixture
def room(server: Server) -> Iterator[Room]:
    """A workspace that only this test uses."""
    with server.room() as room:
        yield room


@pytest.fixture
def foreign(server: Server) -> Iterator[Room]:
    """Another workspace on the same server."""
    with server.room() as room:
        yield room
