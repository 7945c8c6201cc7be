"""Health, readiness, and the positions of read models."""

from __future__ import annotations

from domain.errors import Refusal, Unavailable
from interfaces.rest.call import Call, Reply
from projections.positions import lag
from projections.registry import LOGS, for_log


async def health(call: Call) -> Reply:
    """The process answers."""
    return Reply({"status": "ok"})


async def ready(call: Call) -> Reply:
    """PostgreSQL answers and is at this version. Says no more: anybody may ask."""

    def check() -> None:
        with call.platform.database("executions").pool.connection() as connection:
            connection.execute("SELECT 1 FROM executions.events LIMIT 1")

    try:
        await call.run(check)
    except Refusal:
        raise
    except Exception as error:
        raise Unavailable("not ready") from error
    return Reply({"status": "ready"})


async def projections(call: Call) -> Reply:
    """How far each read model is behind its log."""

    def read() -> list[dict[str, object]]:
        rows = [row for log in LOGS for row in lag(call.platform.database(log).pool, for_log(log))]
        return [{"log": log, "name": name, "position": at, "head": head, "behind": head - at} for log, name, at, head in rows]

    return Reply({"items": await call.run(read)})
