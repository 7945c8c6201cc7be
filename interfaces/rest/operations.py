"""Health, readiness, the positions of read models, and dead letters."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from application.dead_letters import DeadLetter
from domain.errors import Refusal, Unavailable
from interfaces.rest.call import Call, Reply, id_of
from projections.paging import make_cursor, page_of, read_cursor
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


async def dead_letters(call: Call) -> Reply:
    """Those that wait for a decision, or those that had one."""
    query = call.query
    before = read_cursor(query.cursor, datetime, UUID) if query.cursor is not None else None
    found = await call.run(call.platform.dead_letters.page, decided=query.decided, before=before, limit=query.limit + 1)
    page = page_of([_shown(letter) for letter in found], query.limit, lambda row: make_cursor(row["parked_at"], row["id"]))
    return Reply({"items": page.items, "next_cursor": page.next_cursor})


async def dead_letter(call: Call) -> Reply:
    """One letter."""
    return Reply(_shown(await call.run(call.platform.dead_letters.get, _letter_id(call))))


async def requeue(call: Call) -> Reply:
    """Send it again."""
    return Reply(_shown(await call.run(call.platform.dead_letters.requeue, call.by.id, _letter_id(call))))


async def discard(call: Call) -> Reply:
    """Give it up."""
    return Reply(_shown(await call.run(call.platform.dead_letters.discard, call.by.id, _letter_id(call))))


def _letter_id(call: Call) -> UUID:
    return id_of(call.path["letter"], "dead letter")


def _shown(letter: DeadLetter) -> dict[str, Any]:
    """A letter as JSON; bytes that are no UTF-8 are shown as replacement characters, and sent again as they were."""
    shown = {name.decode("utf-8", "replace"): content.decode("utf-8", "replace") for name, content in letter.fields.items()}
    names = ("entry", "reason", "worker", "parked_at", "size", "cut", "decision", "decided_by", "decided_at")
    return {"id": letter.id, **{name: getattr(letter, name) for name in names}, "fields": shown}
