"""How late schedules are, from their rows in the read model: for whoever looks from outside the schedulers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.cron import parse
from domain.errors import Invalid
from domain.schedule import due_at


def schedule_lag(rows: Iterable[Mapping[str, Any]], now: datetime) -> tuple[float, datetime | None]:
    """Seconds since the oldest tick was due that is not decided, and the newest tick that is; `rows` as of
    `ScheduleList.ticking`. A schedule whose zone this machine does not know is left out."""
    lag, last = 0.0, None
    for row in rows:
        if row["last_tick"] is not None:
            last = row["last_tick"] if last is None else max(last, row["last_tick"])
        try:
            tick = parse(row["cron"], row["time_zone"]).next(row["considered"])
        except Invalid:
            continue
        if tick is not None:
            lag = max(lag, (now - due_at(UUID(str(row["id"])), tick, row["jitter"])).total_seconds())
    return lag, last
