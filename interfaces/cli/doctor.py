"""`testmesh doctor`: what works, what is missing, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.terminal import printable
from interfaces.cli.up import config_option

LATE_SECONDS = 30.0
"""A tick that nobody has considered for so long says that there is no scheduler."""
UNATTENDED_SECONDS = 15.0
"""What waits for so long while a worker has room for it is not on its way."""
UNSEALED_SECONDS = 60.0
"""An event that is not sealed after so long says that nobody seals."""
STILL_SECONDS = 3.0
"""A read model that is behind and takes nothing in for so long stands still."""
Finding = tuple[str, str, str]
"""("ok" | "warning" | "problem", what was looked at, what was found)."""


@click.command()
@config_option
@click.option("--url", help="The server to ask.")
def doctor(config: str | None, url: str | None) -> int:
    """Check versions, settings, database, roles, queue, projections, leases and the server."""
    worst = "ok"
    for level, name, text in _findings(config, url):
        click.echo(printable(f"{level:<8} {name}: {text}"))
        worst = level if level == "problem" or worst == "ok" else worst
    return ExitCode.ERROR if worst == "problem" else ExitCode.PASSED


def _findings(config: str | None, url: str | None) -> Iterator[Finding]:
    yield from _packages()
    from domain.errors import NotFound
    from interfaces.adapters.embedded import data_root
    from interfaces.cli.up import _settings
    from interfaces.offline import embedded_settings

    try:
        settings, stop = embedded_settings(_settings(config), data_root())
    except NotFound as error:
        yield "warning", "database", f"{error} ({error.remedy})"
    except Exception as error:
        yield _broken("database", error)
    else:
        try:
            yield from _guarded("database", lambda: _database(settings))
            if settings.redis_url:
                yield from _guarded("redis", lambda: _queue(settings.redis_url))
            else:
                yield "warning", "redis", "not running here (`testmesh up` starts it, or set TESTMESH_REDIS_URL)"
        finally:
            stop()
    yield from _guarded("server", lambda: _server(url))


def _guarded(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:
        yield _broken(name, error)


def _broken(name: str, error: Exception) -> Finding:
    remedy = getattr(error, "remedy", None)
    return "problem", name, f"{str(error).strip() or type(error).__name__}{f' ({remedy})' if remedy else ''}"


def _packages() -> Iterator[Finding]:
    import sys
    from importlib.metadata import version

    yield "ok", "testmesh", version("testmesh")
    supported = sys.version_info >= (3, 11)
    yield ("ok" if supported else "problem"), "python", sys.version.split()[0]
    yield from _plugins()


def _plugins() -> Iterator[Finding]:
    """The actions that other packages bring."""
    from application.actions.registry import ACTIONS

    actions, wrong = ACTIONS.usable()
    for name in ACTIONS.plugins.names():
        if name in actions:
            yield "ok", f"action {name}", ACTIONS.plugins.source(name)
    for fault in wrong:
        yield "problem", "actions", f"{fault.message} ({fault.remedy})"


def _database(settings: Any) -> Iterator[Finding]:
    from application import dead_letters
    from interfaces.bootstrap import Platform
    from interfaces.migration import ROLES, usable
    from projections.registry import LOGS

    platform = Platform(settings)
    try:
        with platform.database("executions").connect() as connection:
            version = connection.info.server_version
            yield "ok", "postgresql", f"{version // 10000}.{version % 10000}"
            fsync = connection.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
            safe = fsync == ("on", "on")
            yield ("ok" if safe else "problem"), "durability", f"fsync, synchronous_commit = {', '.join(fsync or ())}"
        from application.database import Database

        with Database(settings.database_url).connect() as connection:
            for role in ROLES:
                there = usable(connection, role)
                what = "this account may act as it" if there else "missing: run `testmesh admin migrate` with CREATEROLE"
                yield ("ok" if there else "warning"), f"role {role}", what
        yield from _waiting(platform)
        yield _dispatching(platform)
        dead = dead_letters.count(platform.database("executions"))
        wait = f"{dead} wait: testmesh admin dead-letters ls" if dead else "0"
        yield ("warning" if dead else "ok"), "dead letters", wait
        for log in LOGS:
            yield from _projections(platform, log)
            yield _seals(platform, log)
        yield _schedules(platform)
        yield _suite_runs(platform)
    finally:
        platform.close()


def _waiting(platform: Any) -> Iterator[Finding]:
    """Leases, workers, the queue and the groups."""
    from interfaces.queue_health import queue_health

    now = queue_health(platform)
    yield ("warning" if now.silent else "ok"), "leases", f"{now.leases} held, {now.silent} silent"
    idle = now.waiting and now.workers == now.quiet
    told = f"{now.workers} live, room for {now.room} more" + (f", {now.quiet} without a heartbeat" if now.quiet else "")
    remedy = ": start `testmesh worker`" if idle else ": is its machine frozen, or the database out of its reach?"
    yield ("warning" if idle or now.quiet else "ok"), "workers", told + (remedy if idle or now.quiet else "")
    late = now.unattended > UNATTENDED_SECONDS
    why = f", one for {now.unattended:.0f} s although a worker has room: is a `testmesh projector` running, does Redis answer?"
    waits = f"{now.waiting} wait, the oldest for {now.oldest:.0f} s"
    yield ("warning" if late else "ok"), "queue", waits + (why if late else "")
    if now.stuck and now.workers:
        yield "warning", "labels", f"{now.stuck} wait: no worker has {'; or '.join(now.lacking)}"
    waits = f"{now.for_groups} wait for one, the oldest for {now.oldest_for_groups:.0f} s"
    yield "ok", "groups", f"{now.held} places held, {waits}"


def _dispatching(platform: Any) -> Finding:
    """How far the dispatcher is, and whether it calls whose turn it is; what it has to do is looked at again, as above."""
    from interfaces.queue_health import dispatching

    first = now = dispatching(platform)
    end = time.monotonic() + STILL_SECONDS
    while _stands(first, now) and time.monotonic() < end:
        time.sleep(0.1)
        now = dispatching(platform)
    told = f"at {now.position}, {now.behind} behind"
    if first.uncalled & now.uncalled:
        told += f", {len(now.uncalled)} have a place in their groups and are not called"
    remedy = ": is a `testmesh projector` running, does Redis answer?" if _stands(first, now) else ""
    return ("warning" if remedy else "ok"), "dispatcher", told + remedy


def _stands(first: Any, now: Any) -> bool:
    return bool(now.behind and first.behind and now.position == first.position) or bool(first.uncalled & now.uncalled)


def _projections(platform: Any, log: str) -> Iterator[Finding]:
    """How far each read model is; one that is behind is looked at again, for what moves is well."""
    from projections.positions import lag
    from projections.registry import for_log

    def look() -> dict[str, tuple[int, int]]:
        return {name: (at, head) for _, name, at, head in lag(platform.readers(log).pool, for_log(log))}

    first = now = look()
    end = time.monotonic() + STILL_SECONDS
    while any(now[name][0] == at < head for name, (at, head) in first.items()) and time.monotonic() < end:
        time.sleep(0.1)
        now = look()
    for name, (at, head) in now.items():
        still = first[name][0] == at < first[name][1]
        told = f"at {at}, {head - at} behind"
        remedy = f" and stands still: is a `testmesh projector` running? its log says what stops it ({log})"
        yield ("warning" if still else "ok"), f"projection {name}", told + (remedy if still else "")


def _seals(platform: Any, log: str) -> Finding:
    from datetime import UTC, datetime

    from application.seals import newest
    from projections.positions import head_of

    with platform.auditors(log).connect() as connection:
        last, head = newest(connection, log), head_of(connection, log)
    behind = head - (last.seal.last if last else 0)
    told = f"up to {last.seal.last} at {last.seal.at}, {behind} behind" if last else f"none, {behind} behind"
    first = platform.logs[log].read(last.seal.last if last else 0, 1)
    waited = (datetime.now(UTC) - first[0].event.timestamp).total_seconds() if first else 0.0
    late = waited > UNSEALED_SECONDS  # a quiet log's newest seal may be old: what counts is how long an event has waited
    return (
        ("warning" if late else "ok"),
        f"seals {log}",
        told + (": sealed by a `testmesh projector`, each 10 s" if late else ""),
    )


def _schedules(platform: Any) -> Finding:
    from interfaces.schedule_lag import schedule_lag
    from projections.schedule_list import ScheduleList

    rows = ScheduleList(platform.readers("schedules").pool)
    ticking = rows.ticking()
    lag, last = schedule_lag(ticking, rows.now())
    told = f"{len(ticking)} tick, last tick {last.isoformat() if last else 'never'}, {lag:.0f} s late"
    late = lag > LATE_SECONDS
    return ("warning" if late else "ok"), "schedules", told + (": is a `testmesh scheduler` running?" if late else "")


def _suite_runs(platform: Any) -> Finding:
    from projections.suite_run_list import SuiteRunList

    count, waiting = SuiteRunList(platform.readers("executions").pool).under_way()
    late = waiting > LATE_SECONDS
    told = f"{count} under way, {waiting:.0f} s without a start"
    return ("warning" if late else "ok"), "suite runs", told + (": is a `testmesh scheduler` running?" if late else "")


def _queue(url: str) -> Iterator[Finding]:
    from urllib.parse import urlsplit

    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from domain.errors import Unavailable

    plain = url.replace("+cluster", "", 1)
    place = f"{urlsplit(plain).hostname}:{urlsplit(plain).port or 6379}"
    patience: Any = {"socket_timeout": 5, "socket_connect_timeout": 5, "retry": Retry(NoBackoff(), 0)}
    with redis.Redis.from_url(plain, **patience) as client:
        try:
            info: Any = client.info()
        except redis.exceptions.RedisError as error:
            remedy = "what is accepted waits in the log, and begins when it answers again"
            raise Unavailable(f"{place} cannot be used: {error}", remedy=remedy) from error
        yield "ok", "redis", f"{info.get('valkey_version') or info['redis_version']} at {place}"
        try:
            policy = str(dict(client.config_get("maxmemory-policy"))["maxmemory-policy"])
        except (redis.exceptions.ResponseError, KeyError):
            policy = str(info.get("maxmemory_policy", "not told"))
        yield ("ok" if policy == "noeviction" else "problem"), "eviction", policy
        yield ("ok" if info.get("aof_enabled") else "warning"), "append-only file", "on" if info.get("aof_enabled") else "off"


def _server(url: str | None) -> Iterator[Finding]:
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        who = client.get("/api/v1/whoami")
        yield "ok", "server", f"{client.url} as {who['user']} in {who['workspace_name']}"
