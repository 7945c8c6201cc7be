"""Events to bytes and back: the round trip, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.recorder import plain
from application.transcoding import EventMapper, OrjsonTranscoder, UnreadableEvent
from domain.api_key import ApiKey, KeyText
from domain.events import SYSTEM, Actor
from domain.execution import Execution
from domain.queueing import Queueing
from tests.domain.test_execution import requested

MAPPER = EventMapper(OrjsonTranscoder())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_an_event_comes_back_as_it_was_stored(value: object):
    execution = requested()
    execution.collect_events()
    execution.start_attempt(SYSTEM, 1, "w")
    outcome = {"result": plain(value)}
    execution.finish_step(SYSTEM, 1, "w", path="a", phase="steps", outcome=outcome, state={}, payload=None)
    for event in execution.collect_events():
        back = MAPPER.to_domain_event(MAPPER.to_stored_event(event))
        assert (type(back), vars(back)) == (type(event), vars(event))


def test_date_times_come_back_as_date_times():
    end = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
    key = ApiKey.issue(Actor("a"), KeyText.generate(), workspace="w", name="n", user="u", scopes=("admin",), expires_at=end)
    [event] = key.collect_events()
    back = MAPPER.to_domain_event(MAPPER.to_stored_event(event))
    assert (back.expires_at, back.timestamp) == (end, event.timestamp)


def stored():
    [event] = requested().collect_events()
    return MAPPER.to_stored_event(event)


@pytest.mark.row("R13")
@pytest.mark.parametrize(
    "changes",
    [
        {"topic": "execution.unheard_of"},
        {"topic": "os:system"},
        {"state": b"not json"},
        {"state": b"[]"},
        {"state": b"{}"},
        {"state": stored().state.replace(b'"class_version":3', b'"class_version":7', 1)},
    ],
)
def test_what_this_version_cannot_read_is_refused_loudly(changes: dict[str, object]):
    with pytest.raises(UnreadableEvent):
        MAPPER.to_domain_event(replace(stored(), **changes))


@given(st.text() | st.integers() | st.floats() | st.binary())
def test_anything_becomes_json_that_postgresql_keeps(value: object):
    kept = OrjsonTranscoder().encode(plain({"value": value, str(uuid4()): [value]}))
    assert b"\\u0000" not in kept


def test_an_event_of_an_older_release_is_brought_up_to_date():
    older = stored().state.replace(b',"class_version":3', b"", 1).replace(b',"case":""', b"", 1)
    older = older.replace(b',"priority":0,"runs_on":[],"groups":[],"queue_timeout":0.0', b"", 1)
    assert b"case" not in older
    assert b"groups" not in older
    event = MAPPER.to_domain_event(replace(stored(), state=older))
    assert (event.case, event.priority, event.runs_on, event.groups, event.queue_timeout) == ("", 0, [], [], 0.0)


def test_the_log_refuses_events_of_a_newer_release_by_name():
    newer = replace(stored(), state=stored().state.replace(b'"class_version":3', b'"class_version":4', 1))
    with pytest.raises(UnreadableEvent, match="upgrade it"):
        MAPPER.to_domain_event(newer)
    assert newer.topic == Execution.Requested.TOPIC


def test_a_step_that_an_older_release_began_called_nothing():
    execution = requested()
    execution.start_attempt(SYSTEM, 1, "w")
    execution.start_step(SYSTEM, 1, "w", path="a", phase="steps", number=1, name="a", action="log")
    *_, last = (MAPPER.to_stored_event(event) for event in execution.collect_events())
    older = last.state.replace(b',"state":null', b"", 1)
    assert older != last.state
    event = MAPPER.to_domain_event(replace(last, state=older))
    assert event.state is None
    event.apply(execution)


def test_a_snapshot_of_an_older_release_has_a_request_that_asked_for_nothing():
    execution = requested()
    state = {**vars(execution), "request": {**vars(execution.request)}, "started_at": execution.started_at.isoformat()}
    request = {name: kept for name, kept in state["request"].items() if name not in Queueing().plain()}
    request |= {"timestamp": execution.started_at.isoformat(), "originator_id": str(execution.id)}
    thawed = Execution.thawed({**state, "request": request})
    assert (thawed["request"].groups, thawed["request"].priority, thawed["request"].flow_name) == ([], 0, "checkout")
