"""Cron expressions in a time zone: the moments at which a schedule ticks, with stated rules where clocks change.

Five fields (minute hour day month weekday) or six (second first), and the names `@hourly`, `@daily`, `@weekly`, `@monthly` and
`@yearly`. Where a clock goes forward, the ticks of the missing time come together, once, at the first moment after it, unless
the hour field begins with `*`: then no hour was asked for and none is missed. Where a clock goes back, a schedule of fixed
times ticks in the first of the two passes alone; one whose second, minute or hour field begins with `*` ticks in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING

from domain.errors import Invalid
from domain.near_words import nearest
from domain.values import dataclass

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MOST_CHARS = 200
_NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_PLAIN = re.compile(r"[0-9A-Za-z*/,#\- \t]+")
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_YEARS, _SAMPLE = timedelta(days=800), 100
_ANY_DAY = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression with its zone. All moments that go in and come out are aware UTC times in whole seconds."""

    expression: str
    zone: ZoneInfo
    repeats: bool
    """Whether ticks of a doubled hour come in both of its passes."""
    makes_up: bool
    """Whether ticks of a missing hour come at the moment after it."""

    def next(self, after: datetime) -> datetime | None:
        """The first tick later than a moment; None when there is none within 50 years."""
        moment = after.astimezone(UTC).replace(microsecond=0)
        wall = self._first_wall(moment)
        while True:
            tick = self._wall_after(wall)
            if tick is None:
                return None
            # What a clock does to this tick, it does within two days of it.
            moment = max(moment, (tick - 2 * _DAY).replace(tzinfo=UTC))
            offset = self._offset(moment)
            reached = (tick - offset).replace(tzinfo=UTC)
            change = self._change(moment, reached)
            if change is None:
                return reached
            ahead, bare = self._offset(change), change.replace(tzinfo=None)
            if ahead > offset and self.makes_up and tick < bare + ahead:
                return change
            moment, wall = change, bare + self._resumed(offset, ahead) - _SECOND

    def ticks(self, after: datetime) -> Iterator[datetime]:
        """Every tick later than a moment, in order."""
        tick = self.next(after)
        while tick is not None:
            yield tick
            tick = self.next(tick)

    def until(self, after: datetime, end: datetime, most: int) -> list[datetime]:
        """The ticks later than `after` and not later than `end`, the first `most` of them."""
        return list(islice(takewhile(lambda tick: tick <= end, self.ticks(after)), most))

    def shortest(self) -> float:
        """The seconds between the closest two of the first hundred ticks of some years, clock changes left out."""
        plain = parse(self.expression, "UTC")
        sample = plain.until(_ANY_DAY, _ANY_DAY + _YEARS, _SAMPLE)
        return min(((later - tick).total_seconds() for tick, later in pairwise(sample)), default=_YEARS.total_seconds())

    def _first_wall(self, moment: datetime) -> datetime:
        """Where to begin on the clock on the wall: after the whole doubled time when its second pass counts for nothing."""
        wall = moment.replace(tzinfo=None) + self._offset(moment)
        before = self._offset(moment - _DAY)
        if self.repeats or before <= self._offset(moment):
            return wall
        change = self._change(moment - _DAY, moment)
        return wall if change is None else max(wall, change.replace(tzinfo=None) + before - _SECOND)

    def _resumed(self, before: timedelta, after: timedelta) -> timedelta:
        """The offset at which the wall is read on after a change: ticks of a second pass are left out by the older one."""
        return after if self.repeats or after > before else before

    def _wall_after(self, wall: datetime) -> datetime | None:
        from cronsim import CronSim

        try:
            return next(CronSim(_NAMES.get(self.expression.lower(), self.expression), wall), None)
        except (OverflowError, ValueError):
            return None

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """The first moment in (start, end] at which the zone's offset is not what it is at `start`."""
        offset, low = self._offset(start), start
        while low < end:
            high = min(low + _DAY, end)
            if self._offset(high) != offset:
                return self._between(low, high, offset)
            low = high
        return None

    def _between(self, low: datetime, high: datetime, offset: timedelta) -> datetime:
        while high - low > _SECOND:
            middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
            low, high = (middle, high) if self._offset(middle) == offset else (low, middle)
        return high


@lru_cache(maxsize=4096)
def parse(expression: str, zone: str = "UTC") -> Cron:
    """An expression that ticks at least once; Invalid says what is wrong with it or with the zone."""
    text = " ".join(expression.split())
    plain = _NAMES.get(text.lower(), text)
    if len(expression) > MOST_CHARS or not _PLAIN.fullmatch(plain):
        raise _invalid(expression, "it has characters that no cron expression has" if plain else "it is empty")
    _check(text, plain)
    fields = plain.split()
    second, minute, hour = fields[:3] if len(fields) == 6 else ("0", *fields[:2])
    cron = Cron(text, find_zone(zone), any(part.startswith("*") for part in (second, minute, hour)), not hour.startswith("*"))
    if cron.next(_ANY_DAY) is None:
        raise _invalid(expression, "no day fits it")
    return cron


def _check(text: str, plain: str) -> None:
    from cronsim import CronSim, CronSimError

    if len(plain.split()) not in (5, 6):
        raise _invalid(text, f"it has {len(plain.split())} fields")
    try:
        CronSim(plain, _ANY_DAY.replace(tzinfo=None))
    except (CronSimError, AssertionError, ValueError) as error:
        raise _invalid(text, str(error)[:1].lower() + str(error)[1:]) from None


def _invalid(expression: str, fact: str) -> Invalid:
    return Invalid(
        f"{expression[:MOST_CHARS]!r} is not a cron expression: {fact}",
        code="invalid_cron",
        remedy="write minute hour day month weekday, such as 30 2 * * 1-5, with a second before them if wanted, or @daily",
    )


def find_zone(name: str) -> ZoneInfo:
    """A zone of the IANA time zone database; Invalid, with the nearest name, when there is none."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        if re.fullmatch(r"[A-Za-z0-9+_/-]{1,64}", name) and name != "localtime":
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    near = nearest(name[:64], available_timezones())
    remedy = f"did you mean {near}?" if near else "write a name such as Europe/Berlin or UTC"
    raise Invalid(f"there is no time zone {name[:64]!r}", code="invalid_time_zone", remedy=remedy)
