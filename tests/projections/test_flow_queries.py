"""What the flow list and the revisions answer."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from domain.flow import Flow
from projections.flow_list import FlowList
from projections.flow_revisions import FlowRevisions
from projections.registry import for_log
from projections.rows import Pool
from tests.support.events import BY, MemoryLog, flow, source

pytestmark = pytest.mark.servers


def given(pool: Pool, *flows: Flow) -> MemoryLog:
    """These flows happened, and the read models know."""
    log = MemoryLog()
    log.put(*flows)
    with pool.connection() as connection:
        for projection in for_log("flows"):
            projection.apply(connection, projection.wanted(log.events))
    return log


def names(pool: Pool, **filters: Any) -> list[str]:
    return [row["name"] for row in FlowList(pool).page("w", **filters).items]


def test_a_flow_is_shown_as_its_last_events_left_it(pool: Pool):
    one = flow("a.yaml")
    one.revise(BY, **{**source("b.yaml", 2), "tags": ["slow"]})
    log = given(pool, one)
    row = FlowList(pool).get("w", str(one.id))
    assert row is not None
    assert (row["key"], row["path"], row["revision"], row["tags"]) == ("a.yaml", "b.yaml", 2, ["slow"])
    assert (row["steps"], row["digest"], row["document"]) == (2, "d2", {"id": "2", "size": 2})
    assert (row["actor"], row["position"], row["archived"]) == ("user:1", log.head(), False)
    assert row["created_at"] < row["updated_at"]
    assert FlowList(pool).get("v", str(one.id)) is None


def test_archived_flows_are_listed_when_asked_for(pool: Pool):
    kept, gone, back = flow("kept"), flow("gone"), flow("back")
    gone.archive(BY)
    back.archive(BY)
    back.restore(BY)
    given(pool, kept, gone, back)
    assert names(pool) == ["Flow back", "Flow kept"]
    assert names(pool, archived=True) == ["Flow gone"]
    assert names(pool, archived=None) == ["Flow back", "Flow gone", "Flow kept"]


def test_flows_are_filtered_and_searched(pool: Pool):
    given(pool, flow("pay.yaml", tags=["money"]), flow("login.yaml", suite="day", description="100% Sure"), flow("x.yaml"))
    assert names(pool, tag="money") == ["Flow pay.yaml"]
    assert names(pool, suite="day") == names(pool, text="0% sURE") == ["Flow login.yaml"]
    assert names(pool, text="PAY") == ["Flow pay.yaml"]
    assert names(pool, project="other") == names(pool, text="pay.yaml text_") == []
    assert names(pool, tag="smoke", text="x.") == ["Flow x.yaml"]


def test_pages_give_each_flow_once_in_the_order_of_names_whatever_their_case(pool: Pool):
    wanted = ["alpha", "Beta", "beta", "Delta", "gamma", "Ärger"]
    given(pool, *(flow(f"{number}.yaml", name=name) for number, name in enumerate(wanted)))
    listing, seen, cursor = FlowList(pool), list[str](), None
    while True:
        page = listing.page("w", limit=2, cursor=cursor)
        seen += [row["name"] for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [name.lower() for name in seen] == [name.lower() for name in wanted]
    assert sorted(seen) == sorted(wanted)


def test_a_flow_is_found_by_name_path_key_or_id(pool: Pool):
    one, other = flow("a.yaml", name="Pay"), flow("b.yaml", name="Pay")
    other.archive(BY)
    given(pool, one, other)
    found = FlowList(pool).find
    assert [row["id"] for row in found("w", "Pay")] == [str(one.id), str(other.id)]
    assert [row["id"] for row in found("w", "b.yaml")] == [row["id"] for row in found("w", str(other.id))] == [str(other.id)]
    assert found("w", "pay") == found("v", "Pay") == found("w", "\x00") == []


def test_a_name_longer_than_an_index_entry_is_cut_and_still_found(pool: Pool):
    long = "".join(sha256(bytes([number])).hexdigest() for number in range(150))
    given(pool, flow(long, name=long, tags=[long]))
    assert [len(name) for name in names(pool, tag=long)] == [400]
    assert len(FlowList(pool).find("w", long)) == 1


def test_revisions_are_told_newest_first(pool: Pool):
    one = flow("a.yaml")
    one.revise(BY, **source("a.yaml", 2))
    one.revise(BY, **{**source("b.yaml", 2), "digest": "d2"})
    given(pool, one)
    told = FlowRevisions(pool).of("w", str(one.id))
    assert [(row["revision"], row["digest"], row["steps"], row["document"]["id"]) for row in told] == [
        *[(2, "d2", 2, "2"), (1, "d1", 1, "1")]
    ]
    assert told[0]["actor"] == "user:1"
    assert told[0]["at"].tzinfo is not None
    assert FlowRevisions(pool).of("v", one.id) == FlowRevisions(pool).of("w", "no id") == []
