"""HAR files: the API calls in their order, correlated, with checks of what does not vary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.importing.har import HarFilter, read_har
from application.importing.model import Imported
from application.importing.writing import write_flow
from domain.errors import Invalid, LimitExceeded

SHOP = (Path(__file__).parent / "fixtures" / "shop.har").read_bytes()


def read(data: bytes = SHOP, **wanted: Any) -> tuple[Imported, list[dict[str, Any]]]:
    """The import and its steps."""
    found = read_har(data, "shop.har", HarFilter(**wanted))
    return found, yaml.safe_load(write_flow(found.drafts[0]))["flow"]["steps"]


def test_only_calls_are_taken_and_the_rest_is_counted() -> None:
    found, steps = read()
    assert [step["name"] for step in steps] == [
        "POST /api/login",
        "GET /api/products",
        "GET /api/products",
        "POST /api/orders",
        "GET /api/orders/${order_id}",
        "POST /v2/charges",
        "POST /logout",
    ]
    assert found.left_out == {"static files": 2, "pages (--type document takes them)": 1, "entries of type preflight": 1}


def test_values_of_answers_flow_into_later_requests() -> None:
    _, (login, products, page, order, one, charge, _) = read()
    assert login["output"] == {"token": "body.token", "user_id": "body.user.id"}
    assert login["secret_outputs"] == ["token"]
    assert products["config"]["headers"]["authorization"] == "Bearer ${token}"
    assert products["output"] == {"next": "body.next", "sku": "body.items[0].sku"}
    assert page["config"]["params"] == {"after": "${next}"}
    assert order["config"]["json"] == {
        "user": "${user_id}",
        "lines": [{"sku": "${sku}", "count": 2}],
        "note": "$${gift} {{ '{{' }}wrap}}",
    }
    assert one["config"]["url"] == "${base_url}/api/orders/${order_id}"
    assert charge["config"]["json"] == {"order_number": "${order_number}", "status": "pending"}


def test_status_and_outline_are_checked_and_no_value_that_varies() -> None:
    _, steps = read()
    assert steps[3]["assert"] == ["status == 201", "body.id exists", "body.number exists", "body.status exists"]
    assert steps[2]["assert"] == ["status == 200", "body is array"]
    assert steps[4]["assert"] == ["status == 200", "body.id exists", "body.status exists"]
    assert steps[6]["config"]["follow_redirects"] is False


def test_cookies_that_answers_set_are_left_to_the_engine_and_trackers_dropped() -> None:
    _, steps = read()
    assert "cookies" not in steps[0]["config"]
    assert steps[1]["config"]["cookies"] == {"consent": "${cookie_consent}"}
    assert "cookies" not in steps[3]["config"]


def test_no_credential_is_written() -> None:
    text = write_flow(read()[0].drafts[0])
    for secret in ("correct horse", "eyJhbGci", "csrf-from-page-1", "s3ss10n"):
        assert secret in SHOP.decode()
        assert secret not in text


def test_filters() -> None:
    assert [step["name"] for step in read(url_contains=("pay.example",))[1]] == ["POST /v2/charges"]
    assert len(read(methods=frozenset({"GET"}))[1]) == 3
    assert len(read(types=frozenset({"all"}))[1]) == 11
    with pytest.raises(Invalid, match="none of the 11 entries is wanted"):
        read(url_contains=("elsewhere",))


def entries(*listed: dict[str, Any]) -> bytes:
    """A HAR file of requests and answers in short."""
    made = [
        {
            "startedDateTime": f"2024-01-01T00:00:{place:02}Z",
            "request": {
                "method": one.get("method", "GET"),
                "url": one["url"],
                "headers": one.get("headers", []),
                **one.get("more", {}),
            },
            "response": {
                "status": one.get("status", 200),
                "headers": one.get("answer_headers", []),
                "content": {"mimeType": "application/json", "text": json.dumps(one.get("answer"))},
            },
        }
        for place, one in enumerate(listed)
    ]
    return json.dumps({"log": {"entries": made}}).encode()


def test_a_value_that_the_client_sent_first_is_its_own() -> None:
    _, steps = read(
        entries(
            {"url": "http://x/a?ref=abc-123456", "answer": {"ref": "abc-123456"}},
            {"url": "http://x/b?ref=abc-123456", "answer": {}},
        )
    )
    assert "output" not in steps[0]
    assert steps[1]["config"]["url"] == "${base_url}/b?ref=abc-123456"


def test_an_id_in_location_is_found() -> None:
    location = [{"name": "Location", "value": "http://x/things/8f3a91bc"}]
    _, steps = read(
        entries(
            {"url": "http://x/things", "method": "POST", "status": 201, "answer_headers": location},
            {"url": "http://x/things/8f3a91bc/parts"},
        )
    )
    assert list(steps[0]["output"].values()) == ["last(split(headers['Location'], '/'))"]
    assert steps[1]["config"]["url"] == "${base_url}/things/${thing_id}/parts"


def test_words_that_happen_to_repeat_are_no_correlation() -> None:
    _, steps = read(entries({"url": "http://x/a", "answer": {"status": "pending", "n": 200000}}, {"url": "http://x/pending"}))
    assert "output" not in steps[0]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"log": {}}', b'{"log": {"entries": 1}}', b"\xff", b'{"a": NaN}'])
def test_what_is_no_har_file_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        read(data)


def test_hostile_files_are_refused_or_survived() -> None:
    with pytest.raises(LimitExceeded):
        read(b"[" * 100_000 + b"]" * 100_000)
    odd = [
        {"request": {"url": "http://x/\ud800"}, "response": None},
        {"request": 1},
        None,
        {"request": {"url": "http://x", "headers": [{}, 1, {"name": ""}]}},
    ]
    found = read_har(json.dumps({"log": {"entries": odd}}).encode(), "odd", HarFilter(types=frozenset({"all"})))
    write_flow(found.drafts[0])
