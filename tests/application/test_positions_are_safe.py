"""Why the library's "db functions" stay off: their positions can appear behind a reader's back; ours cannot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from domain.errors import Invalid
from interfaces.settings import load

pytestmark = pytest.mark.servers
OURS = "SELECT executions.append(ARRAY[%s]::uuid[], ARRAY[1], ARRAY['t'], ARRAY['x'::bytea])"
THEIRS = "SELECT * FROM public.es_insert_events_uuid(ARRAY[ROW(%s, 1, 't', 'x'::bytea)::public.stored_event_uuid])"


def _heads(connection: psycopg.Connection[Any], table: str) -> list[int]:
    return [row[0] for row in connection.execute(f"SELECT notification_id FROM {table} ORDER BY 1".encode()).fetchall()]


def test_with_db_functions_a_reader_passes_an_event_that_is_not_yet_committed(fresh_database: Callable[[], str]) -> None:
    url = fresh_database()
    info = psycopg.conninfo.conninfo_to_dict(url)
    datastore = PostgresDatastore(
        str(info["dbname"]),
        str(info["host"]),
        str(info["port"]),
        str(info["user"]),
        str(info["password"]),
        schema="public",
        enable_db_functions=True,
        originator_id_type="uuid",
    )
    PostgresApplicationRecorder(datastore).create_table()
    datastore.close()
    with psycopg.connect(url) as slow, psycopg.connect(url, autocommit=True) as quick:
        slow.execute(THEIRS, (uuid4(),))
        quick.execute(THEIRS, (uuid4(),))
        seen = _heads(quick, "stored_events")
        slow.commit()
        later = _heads(quick, "stored_events")
    assert seen == [2], "the reader has read up to position 2"
    assert later == [1, 2], "position 1 came after it, and a reader that goes on from 2 never sees it"


def test_our_append_makes_positions_visible_in_their_order(database_url: str) -> None:
    with psycopg.connect(database_url) as slow, psycopg.connect(database_url, autocommit=True) as quick:
        slow.execute(OURS, (uuid4(),))
        appended = threading.Thread(target=lambda: quick.execute(OURS, (uuid4(),)))
        appended.start()
        appended.join(0.3)
        assert appended.is_alive(), "the second append waits for the first"
        with psycopg.connect(database_url, autocommit=True) as reader:
            assert _heads(reader, "executions.events") == []
            slow.commit()
            appended.join(5)
            assert _heads(reader, "executions.events") == [1, 2]


@pytest.mark.parametrize("value", ["yes", "true", "1", "on"])
def test_a_process_refuses_to_start_with_them(value: str) -> None:
    with pytest.raises(Invalid, match="POSTGRES_ENABLE_DB_FUNCTIONS"):
        load({"POSTGRES_ENABLE_DB_FUNCTIONS": value})
    load({"POSTGRES_ENABLE_DB_FUNCTIONS": "no"})
