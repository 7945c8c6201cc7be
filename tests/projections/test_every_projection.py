"""Whatever the history, however it is cut into batches: the same rows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.rebuild import checksum
from projections.registry import LOGS, PROJECTIONS, for_log
from projections.rows import Pool
from projections.view import Projection
from tests.support.events import MemoryLog, Move, moves_of, play

pytestmark = pytest.mark.servers
SETTINGS = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def rows_after(pool: Pool, projection: Projection, log: MemoryLog, cuts: list[int]) -> str:
    """The checksum when the history is applied in batches that end at the cuts, each twice but for a crash."""
    bounds = [0, *sorted({cut % (len(log.events) + 1) for cut in cuts}), len(log.events)]
    with pool.connection() as connection:
        projection.clear(connection)
        for begin, end in pairwise(bounds):
            batch = projection.wanted(log.events[begin:end])
            if batch:
                with connection.transaction(force_rollback=True):
                    projection.apply(connection, batch)
                with connection.transaction():
                    projection.apply(connection, batch)
    return checksum(pool, projection)


@pytest.mark.parametrize("log_name", LOGS)
def test_any_cut_of_a_history_gives_the_same_rows(pool: Pool, log_name: str):
    @SETTINGS
    @given(moves_of(log_name), st.lists(st.integers(0, 1000), max_size=6))
    def check(moves: list[Move], cuts: list[int]) -> None:
        log = play(moves)
        for projection in for_log(log_name):
            whole = rows_after(pool, projection, log, [])
            assert rows_after(pool, projection, log, cuts) == whole
            assert rows_after(pool, projection, log, list(range(len(log.events)))) == whole

    check()


def test_names_and_tables_are_unique_and_stand_after_what_they_follow():
    names = [projection.name for projection in PROJECTIONS]
    tables = [table for projection in PROJECTIONS for table in projection.tables]
    assert len({*names}) == len(names)
    assert len({*tables}) == len(tables)
    for projection in PROJECTIONS:
        assert all(names.index(other) < names.index(projection.name) for other in projection.follows)
        assert all(table.startswith(f"{projection.log}.") for table in projection.tables)
