"""Settings: read once from the environment and the server's testmesh.toml, then frozen."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import Any

from domain.duration import parse_duration
from domain.errors import Invalid
from domain.near_words import nearest
from domain.queueing import checked_labels
from domain.values import dataclass
from interfaces.limit_settings import PREFIX as LIMIT_PREFIX
from interfaces.limit_settings import read_limits

PREFIX = "TESTMESH_"
_OTHER_NAMES = ("URL", "API_KEY", "API_KEY_FILE", "DATA_DIR", "CONFIG", "PROJECT")
_FREE = ("TESTMESH_VAR_", "TESTMESH_OPT_", "TESTMESH_TEST_", LIMIT_PREFIX)
_BY_PART = ("log_urls", "limits")
"""Settings of several names each."""
_LOGS = ("flows", "executions", "schedules", "identity")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server process needs to know. Times in seconds."""

    database_url: str = ""
    redis_url: str = ""
    log_urls: Mapping[str, str] = field(default_factory=dict)
    """A domain with a database of its own: TESTMESH_EXECUTIONS_DATABASE_URL and the like."""
    key_file: str = ""
    checkpoint_file: str = ""
    """Where the projector keeps the newest seal of each log, outside the database."""
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    """0 keeps the metrics' own port closed."""
    egress_allow: tuple[str, ...] = ()
    mock_bind: str = "127.0.0.1"
    """The IP address at which mock servers of flows listen."""
    worker_concurrency: int = 16
    worker_drain: float = 20.0
    worker_labels: tuple[str, ...] = ()
    """Labels of this worker: gpu, region=eu."""
    queue_timeout: float = 24 * 3600.0
    """How long an execution may wait for a worker when neither its request nor its flow says; 0 for any time."""
    queue_shards: int = 1
    """Into how many parts the queue is divided, for a Redis Cluster."""
    queue_limit: int = 100_000
    """Executions that may wait in all; a request beyond is answered with 503. 0 for any number."""
    workspace_queue_limit: int = 10_000
    """The same of one workspace; 429."""
    workspace_concurrency: int = 0
    """Executions of a workspace that run at a time; more wait. 0 for any number."""
    lease: float = 15.0
    heartbeat: float = 5.0
    log_level: str = "info"
    log_format: str = "text"
    limits: Mapping[str, float] = field(default_factory=dict)
    """Limits that are not as by default, by name."""

    def database_of(self, log: str) -> str:
        """The URL of a domain's database."""
        return self.log_urls.get(log, self.database_url)


def load(environ: Mapping[str, str], file: Path | None = None) -> tuple[Settings, list[str]]:
    """The settings and warnings about unknown names. The environment wins over the file (`[server]`, `[worker]`,
    `[queue]`, `[egress]`, `[limits]` tables). Raises Invalid, naming the setting, for a value of the wrong kind."""
    if environ.get("POSTGRES_ENABLE_DB_FUNCTIONS", "").lower() in ("1", "y", "yes", "t", "true", "on"):
        raise Invalid(
            "POSTGRES_ENABLE_DB_FUNCTIONS is set: that mode loses events for their followers",
            code="unsafe_setting",
            remedy="unset it; TestMesh has its own append function",
        )
    given = _from_file(file) if file is not None else {}
    given.update(_from_environment(environ))
    known = {setting.name: setting for setting in fields(Settings)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        values[name] = _converted(name, value, str(known[name].type))
    values["limits"] = read_limits(environ, given.get("limits"))
    if "worker_labels" in values:
        values["worker_labels"] = checked_labels(values["worker_labels"], "TESTMESH_WORKER_LABELS")
    _check_counts(values)
    if "mock_bind" in values:
        values["mock_bind"] = bind_address(str(values["mock_bind"]))
    settings = Settings(**values)
    _check_beats(settings.heartbeat, settings.lease)
    return settings, unknown_names(environ)


_COUNTS = {
    "port": (0, 65_535),
    "metrics_port": (0, 65_535),
    "worker_concurrency": (1, 1000),
    "queue_shards": (1, 64),
    "queue_limit": (0, 10**9),
    "workspace_queue_limit": (0, 10**9),
    "workspace_concurrency": (0, 10_000),
}


def _check_counts(values: Mapping[str, Any]) -> None:
    for name, (least, most) in _COUNTS.items():
        if name in values and not least <= values[name] <= most:
            raise Invalid(
                f"{PREFIX}{name.upper()} cannot be {values[name]}", code="invalid_settings", remedy=f"choose {least} to {most}"
            )
    if values.get("queue_timeout", 0) < 0:
        raise Invalid("TESTMESH_QUEUE_TIMEOUT cannot be negative", code="invalid_settings", remedy="0 is for any time")
    for name, choices in _CHOICES.items():
        if name in values and str(values[name]).lower() not in choices:
            raise Invalid(
                f"{PREFIX}{name.upper()} cannot be {values[name]!r}",
                code="invalid_settings",
                remedy=f"choose {', '.join(choices)}",
            )


_CHOICES = {"log_level": ("debug", "info", "warning", "error", "critical"), "log_format": ("text", "json")}


def _check_beats(heartbeat: float, lease: float) -> None:
    """A worker must be able to miss a beat, or every attempt is taken from it."""
    if not 0 < 2 * heartbeat <= lease:
        raise Invalid(
            f"TESTMESH_HEARTBEAT {heartbeat:g} s is too long for TESTMESH_LEASE {lease:g} s: attempts would be taken from"
            " workers that live",
            code="invalid_settings",
            remedy="choose a heartbeat above 0, and a lease of twice that at least; three times is usual",
        )


def bind_address(text: str) -> str:
    """The IP address of TESTMESH_MOCK_BIND. Raises Invalid for a name or anything else."""
    try:
        return str(ipaddress.ip_address(text.strip().strip("[]")))
    except ValueError:
        raise Invalid(
            f"TESTMESH_MOCK_BIND cannot be {text!r}", code="invalid_settings", remedy="write an IP address such as 127.0.0.1"
        ) from None


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Warnings about TESTMESH_* names that nothing reads, with the nearest known one."""
    known = sorted({*_names().values(), *(PREFIX + name for name in _OTHER_NAMES)})
    warnings = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(_FREE):
            near = nearest(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known])
            warnings.append(f"{name} is not a setting" + (f"; did you mean {PREFIX}{near}?" if near else ""))
    return warnings


def _names() -> dict[str, str]:
    """Environment names by setting."""
    names = {setting.name: PREFIX + setting.name.upper() for setting in fields(Settings) if setting.name not in _BY_PART}
    return {**names, **{f"log:{log}": f"{PREFIX}{log.upper()}_DATABASE_URL" for log in _LOGS}}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    urls: dict[str, str] = {}
    for setting, name in _names().items():
        if name not in environ or not environ[name]:
            continue
        if setting.startswith("log:"):
            urls[setting[4:]] = environ[name]
        else:
            found[setting] = environ[name]
    if urls:
        found["log_urls"] = urls
    return found


_TABLES: Mapping[str, Mapping[str, str]] = {
    "server": {
        "host": "host",
        "port": "port",
        "database_url": "database_url",
        "redis_url": "redis_url",
        "key_file": "key_file",
        "checkpoint_file": "checkpoint_file",
        "metrics_host": "metrics_host",
        "metrics_port": "metrics_port",
        "log_level": "log_level",
        "log_format": "log_format",
    },
    "worker": {
        "concurrency": "worker_concurrency",
        "drain": "worker_drain",
        "labels": "worker_labels",
        "lease": "lease",
        "heartbeat": "heartbeat",
        "mock_bind": "mock_bind",
    },
    "queue": {
        "timeout": "queue_timeout",
        "shards": "queue_shards",
        "limit": "queue_limit",
        "workspace_limit": "workspace_queue_limit",
        "workspace_concurrency": "workspace_concurrency",
    },
    "egress": {"allow": "egress_allow"},
}


def _from_file(file: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read: {error}", code="invalid_settings") from error
    found: dict[str, Any] = {}
    for table, keys in tables.items():
        if table == "limits" and isinstance(keys, dict):
            found["limits"] = keys
            continue
        if table not in _TABLES or not isinstance(keys, dict):
            raise Invalid(
                f"{file}: there is no table [{table}]; there is [{'], ['.join([*_TABLES, 'limits'])}]", code="invalid_settings"
            )
        for key, value in keys.items():
            if key not in _TABLES[table]:
                near = ", ".join(_TABLES[table])
                raise Invalid(f"{file}: [{table}] has no key {key}; it has {near}", code="invalid_settings")
            found[_TABLES[table][key]] = value
    return found


def _converted(name: str, value: Any, kind: str) -> Any:
    try:
        if kind == "int":
            return int(value)
        if kind == "float":
            return float(value) if isinstance(value, int | float) else parse_duration(str(value))
        if kind.startswith("tuple"):
            return _listed(value)
    except (ValueError, Invalid) as error:
        raise Invalid(f"{PREFIX}{name.upper()} cannot be {value!r}: {error}", code="invalid_settings") from error
    return value


def _listed(value: str | Sequence[Any]) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    return tuple(str(item).strip() for item in items if str(item).strip())
