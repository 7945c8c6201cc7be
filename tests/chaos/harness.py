"""The chaos harness: the real roles as processes over real servers, reached as their users reach them."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from domain.workspace import workspace_uuid
from interfaces.adapters.embedded import free_port
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.adapters.embedded_valkey import EmbeddedValkey
from interfaces.bootstrap import Platform, make_key
from interfaces.settings import Settings
from interfaces.supervisor import Role, Supervisor
from tests.chaos.disk import SmallDisk
from tests.chaos.large_answers import LargeAnswers
from tests.support.tcp_proxy import TcpProxy

FLOW = """
flow:
  name: chaos
  env: {NAP: 50}
  setup:
    - {id: make, action: log, config: {message: made}, output: {made: $.message}}
  steps:
    - {id: first, action: delay, config: {duration: "${NAP}ms"}}
    - {id: second, action: delay, config: {duration: "${NAP}ms"}}
  teardown:
    - {id: clean, action: log, config: {message: "clean ${made}"}}
"""
LEASE = 3.0
ROOT = Path(__file__).parents[2]
WRONG_CLOCK = ROOT / "tests" / "support" / "wrong_clock"
DATABASE, QUEUE = "TESTMESH_DATABASE_URL", "TESTMESH_REDIS_URL"


class Store(Protocol):
    """PostgreSQL or Valkey, as the supervisor looks after it."""

    @property
    def url(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    def start(self) -> str: ...
    def ensure(self) -> None: ...
    def alive(self) -> bool: ...
    def stop(self) -> None: ...


class Kept:
    """A server that the supervisor starts again, unless it is kept down."""

    def __init__(self, server: Store) -> None:
        self.server = server
        self.down = False
        self._turn = threading.Lock()

    def ensure(self) -> None:
        """Start it again if it died and may live."""
        with self._turn:
            if not self.down:
                self.server.ensure()

    def keep_down(self) -> None:
        """From the return of this call on nobody starts it."""
        with self._turn:
            self.down = True

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()


class System:
    """Roles under the supervisor, as `testmesh up` runs them, with short leases. The workers and the API reach the stores by
    proxies of ours; whoever uses the system has its address and a key."""

    def __init__(
        self,
        root: Path,
        *,
        workers: int = 3,
        seed: int = 1,
        lease: float = LEASE,
        heartbeat: float = 1.0,
        concurrency: int = 8,
        postgres: Store | None = None,
        projector: Mapping[str, str] | None = None,
        key: str = "",
        shards: int = 1,
        disk: SmallDisk | None = None,
        **environ: str,
    ) -> None:
        """`postgres` is another server than one of its own below `root`; `projector` is the environment of that role,
        `environ` of all; `key` is one that its database knows already; `disk` is the one at `root`/postgres, if that has one
        of its own. Seconds."""
        self.root, self.lease, self.shards, self.disk = root, lease, shards, disk
        self.random = random.Random(seed)
        self.postgres: Store = postgres or EmbeddedPostgres(root)
        self.valkey = EmbeddedValkey(root)
        self.kept = {DATABASE: Kept(self.postgres), QUEUE: Kept(self.valkey)}
        make_key(root / "key")
        self.settings = Settings(
            database_url=self.postgres.start(),
            redis_url=self.valkey.start(),
            key_file=str(root / "key"),
            port=free_port(None),
            lease=lease,
            heartbeat=heartbeat,
            queue_shards=shards,
        )
        self.urls = {DATABASE: self.settings.database_url, QUEUE: self.settings.redis_url}
        self.proxies = {store: TcpProxy(urlsplit(url).port or 0) for store, url in self.urls.items()}
        """Between the workers and both stores."""
        self.api_proxy = TcpProxy(urlsplit(self.settings.database_url).port or 0)
        """Between the API and PostgreSQL."""
        self.platform = Platform(self.settings)
        self.platform.migrate()
        issued = self.platform.identity.first_contact()
        self.key, self.workspace = issued.text if issued else key, str(workspace_uuid("default"))
        self._roles(workers)
        self.projector.environ = {**self.projector.environ, **(projector or {})}
        self.large = LargeAnswers()
        own = {
            **self.urls,
            "TESTMESH_KEY_FILE": self.settings.key_file,
            "TESTMESH_PORT": str(self.settings.port),
            "TESTMESH_LEASE": str(lease),
            "TESTMESH_HEARTBEAT": str(heartbeat),
            "TESTMESH_WORKER_CONCURRENCY": str(concurrency),
            "TESTMESH_LIMIT_SCHEDULE_SECONDS": "1s",
            "TESTMESH_QUEUE_SHARDS": str(shards),
            "TESTMESH_EGRESS_ALLOW": self.large.address,
            **environ,
        }
        self.supervisor = Supervisor(self.roles, list(self.kept.values()), {**os.environ, **own}, root / "logs")
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self.supervisor.watch, args=(self._stop, 0.1))

    def _roles(self, workers: int) -> None:
        through = {store: _through(url, self.proxies[store].port) for store, url in self.urls.items()}
        api = {DATABASE: _through(self.urls[DATABASE], self.api_proxy.port)}
        names = [f"worker-{number}" for number in range(workers)]
        self.workers = [Role(name, ["worker"], 30.0, {**through, **self._clock(name)}) for name in names]
        self.api = Role("server", ["server"], 20.0, {**api, **self._clock("server")})
        self.projector = Role("projector", ["projector"], 20.0, self._clock("projector"))
        self.scheduler = Role("scheduler", ["scheduler"], 20.0, self._clock("scheduler"))
        self.roles = [self.api, *self.workers, self.projector, self.scheduler]

    def _clock(self, role: str) -> Mapping[str, str]:
        """What lets the wall clock of a role jump."""
        self.clock_file(role).write_text("0")
        return {"PYTHONPATH": f"{WRONG_CLOCK}:{ROOT}", "TESTMESH_TEST_CLOCK": str(self.clock_file(role))}

    def clock_file(self, role: str) -> Path:
        """Holds by how many seconds the clock of a role is wrong."""
        return self.root / f"clock-{role}"

    @property
    def api_url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self.settings.port}"

    def start(self) -> None:
        """Start the roles and their supervisor; returns when the API knows the key."""
        self.supervisor.start()
        self._watch.start()
        self.wait_for_the_api()

    def check(self) -> None:
        """AssertionError once nobody looks after the roles any more."""
        assert self._watch.is_alive(), "the supervisor has ended: nothing is started again"

    def wait_for_the_api(self, seconds: float = 60.0) -> None:
        """Until a request with the key is answered."""
        with self.client() as http:
            until(lambda: _answers(http), "the API", seconds)

    def client(self, **options: Any) -> httpx.Client:
        """A client of the API with the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.api_url, headers=headers, trust_env=False, **{"timeout": 10.0, **options})

    def path(self, rest: str) -> str:
        """A path below the workspace."""
        return f"/api/v1/workspaces/{self.workspace}{rest}"

    def push(self, text: str = FLOW, path: str = "chaos.yaml") -> str:
        """Store a flow; its id."""
        with self.client() as http:
            answer = http.post(self.path("/flows"), json={"documents": [{"path": path, "text": text}]})
            assert answer.status_code == 200, answer.text
            return str(answer.json()["items"][0]["id"])

    def stop_roles(self) -> None:
        """End the roles in order; the servers go on."""
        self._stop.set()
        self._watch.join()
        for role in self.roles:
            if role.process is not None:
                role.process.terminate()
        for role in self.roles:
            if role.process is not None:
                role.process.wait(role.patience)

    def close(self) -> None:
        """Stop everything in order."""
        self._stop.set()
        if self._watch.ident is not None:
            self._watch.join()
        self.platform.close()
        self.supervisor.stop()
        for proxy in (*self.proxies.values(), self.api_proxy):
            proxy.close()
        self.large.close()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/api/v1/whoami").status_code == 200
    except httpx.TransportError:
        return False


def _through(url: str, port: int) -> str:
    """The URL of a store, by way of a proxy."""
    return url.replace(f":{urlsplit(url).port}/", f":{port}/")


def until(holds: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait for something, in small steps."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
