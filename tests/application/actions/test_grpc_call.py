"""The action `grpc_call` on a real server."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from application.actions.grpc_call import GRPC_CALL
from application.actions.registry import ACTIONS
from application.engine.egress import WorkerPolicy
from domain.limits import Limits
from tests.support.action_context import Bench, bench
from tests.support.grpc_server import ORDERS, TYPES, OrderServer, grpc_server, packed
from tests.support.http_server import Identity, new_identity
from tests.support.kafka_broker import free_port
from tests.support.local import Local, flow, outcomes

pytestmark = pytest.mark.servers

TEXTS = {"types.proto": TYPES, "orders.proto": ORDERS}


@pytest.fixture
async def server() -> AsyncIterator[OrderServer]:
    async with grpc_server("v1") as started:
        yield started


@pytest.fixture
async def one() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


def to(server: OrderServer, method: str, **config: Any) -> dict[str, Any]:
    """The config of a call."""
    return {"address": f"127.0.0.1:{server.port}", "service": "shop.v1.Orders", "method": method, **config}


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return new_identity(tmp_path_factory.mktemp("identity"))


async def test_a_message_goes_out_and_the_answer_comes_back_in_its_json_form(one: Bench, server: OrderServer) -> None:
    order = {
        "customer": "Ann",
        "items": [{"sku": "a", "quantity": 2}],
        "state": "OPEN",
        "number": 2**53 - 1,
        "seal": base64.b64encode(b"\x00\xff").decode(),
        "byName": {"first": {"sku": "b"}},
        "created_at": "2030-01-31T12:00:00Z",
        "within": "1.500s",
        "extra": {"a": [1, "x", None]},
        "note": "hello",
        "weight": 0.5,
        "courier": "bike",
        "gift": False,
    }
    result = await one.run(GRPC_CALL, to(server, "Place", message=order))

    assert (result["status"], result["status_code"], result["message"]) == ("OK", 0, "")
    by_name = order.pop("byName")
    assert result["response"] == {**order, "by_name": {"first": {"sku": by_name["first"]["sku"], "quantity": 0}}}
    assert result["body"] == result["response"]
    assert (result["responses"], result["count"]) == ([result["response"]], 1)
    assert result["headers"] == {"served-by": "test", "many": ["a", "b"]}
    assert result["time"] > 0
    assert server.calls == 1


async def test_what_was_not_set_can_still_be_asserted(one: Bench, server: OrderServer) -> None:
    response = (await one.run(GRPC_CALL, to(server, "Place")))["response"]

    assert response["customer"] == ""
    assert response["items"] == []
    assert response["number"] == 0
    assert "gift" not in response
    assert "created_at" not in response


@pytest.mark.parametrize(("given", "comes"), [(2**63 - 1, str(2**63 - 1)), ("9007199254740993", "9007199254740993"), (7, 7)])
async def test_long_integers_are_numbers_where_they_are_exact(one: Bench, server: OrderServer, given: Any, comes: Any) -> None:
    assert (await one.run(GRPC_CALL, to(server, "Place", message={"number": given})))["response"]["number"] == comes


async def test_a_packed_message_is_shown_by_its_type(one: Bench, server: OrderServer) -> None:
    detail = {"@type": "type.googleapis.com/shop.v1.Item", "sku": "inside"}
    response = (await one.run(GRPC_CALL, to(server, "Place", message={"detail": detail})))["response"]

    assert packed("Item", sku="inside").type_url == detail["@type"]
    assert response["detail"] == {**detail, "quantity": 0}


async def test_a_status_that_is_not_ok_is_a_result(one: Bench, server: OrderServer) -> None:
    result = await one.run(GRPC_CALL, to(server, "Place", message={"customer": "nobody"}))

    assert (result["status"], result["status_code"], result["message"]) == ("NOT_FOUND", 5, "no such customer")
    assert (result["response"], result["responses"], result["count"]) == (None, [], 0)
    assert result["trailers"] == {"reason": "unknown", "proof-bin": "AP8="}


async def test_a_bug_of_the_server_is_a_result_too(one: Bench, server: OrderServer) -> None:
    assert (await one.run(GRPC_CALL, to(server, "Place", message={"customer": "broken"})))["status"] == "UNKNOWN"


async def test_a_method_that_the_server_lacks_is_a_result_when_the_proto_has_it(one: Bench, server: OrderServer) -> None:
    text = 'syntax = "proto3"; package shop.v1; message M {} service Other { rpc Do(M) returns (M); }'
    result = await one.run(GRPC_CALL, {**to(server, "Do", proto=text), "service": "Other"})

    assert result["status"] == "UNIMPLEMENTED"


async def test_a_server_that_streams_gives_all_its_answers(one: Bench, server: OrderServer) -> None:
    result = await one.run(GRPC_CALL, to(server, "Watch", message={"customer": "Ann", "count": 3}))

    assert [order["number"] for order in result["responses"]] == [1, 2, 3]
    assert (result["response"]["number"], result["count"], result["truncated"]) == (3, 3, False)


async def test_a_stream_that_breaks_keeps_what_came(one: Bench, server: OrderServer) -> None:
    result = await one.run(GRPC_CALL, to(server, "Watch", message={"customer": "broken", "count": 2}))

    assert (result["status"], result["count"]) == ("DATA_LOSS", 2)


async def test_an_endless_stream_ends_after_enough_messages(one: Bench, server: OrderServer) -> None:
    result = await one.run(GRPC_CALL, to(server, "Watch", message={}, max_messages=5))

    assert (result["status"], result["count"], result["truncated"]) == ("OK", 5, True)
    await asyncio.wait_for(server.cancelled.wait(), 5)


async def test_a_client_streams_its_messages(one: Bench, server: OrderServer) -> None:
    messages = [{"customer": name, "items": [{"quantity": 2}]} for name in ("Ann", "Bob", "Eve")]
    for key in ("messages", "message", "request"):
        result = await one.run(GRPC_CALL, to(server, "Total", **{key: messages}))
        assert result["response"] == {"quantity": 6, "customers": ["Ann", "Bob", "Eve"]}
    assert (await one.run(GRPC_CALL, to(server, "Total", messages=[])))["response"]["quantity"] == 0


async def test_both_sides_stream(one: Bench, server: OrderServer) -> None:
    result = await one.run(
        GRPC_CALL, to(server, "Chat", type="bidirectional", messages=[{"state": "OPEN"}, {"state": 0}] * 200)
    )

    assert [order["state"] for order in result["responses"]] == ["SHIPPED", "OPEN"] * 200
    assert result["messages"] == result["responses"]
    few = await one.run(GRPC_CALL, to(server, "Chat", messages=[{"state": "OPEN"}] * 9, max_receive=3))
    assert (few["count"], few["truncated"]) == (3, True)


async def test_a_passed_deadline_is_a_status(one: Bench, server: OrderServer) -> None:
    begun = time.monotonic()
    result = await one.run(GRPC_CALL, to(server, "Place", message={"customer": "slow"}, timeout="300ms"))

    assert result["status"] == "DEADLINE_EXCEEDED"
    assert time.monotonic() - begun < 3


async def test_a_cancelled_step_cancels_its_call(one: Bench, server: OrderServer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await one.run(GRPC_CALL, to(server, "Watch", message={}))

    await asyncio.wait_for(server.cancelled.wait(), 5)
    assert (await one.run(GRPC_CALL, to(server, "Ping")))["response"] == {}


async def test_metadata_goes_out_and_credentials_are_shown_nowhere(one: Bench, server: OrderServer) -> None:
    metadata = {"Authorization": "Bearer abcdef", "x-number": 7, "many": ["a", "b"], "raw-bin": "AP8="}
    await one.run(GRPC_CALL, to(server, "Ping", metadata=metadata))

    assert server.metadata["authorization"] == ["Bearer abcdef"]
    assert server.metadata["x-number"] == ["7"]
    assert server.metadata["many"] == ["a", "b"]
    assert server.metadata["raw-bin"] == [b"\x00\xff"]
    assert one.secrets.count("Bearer abcdef") == 1
    assert "abcdef" not in repr(one.exchange)


async def test_steps_share_a_channel_and_ask_for_the_schema_once(server: OrderServer) -> None:
    async with bench() as one:
        for _ in range(3):
            await one.run(GRPC_CALL, to(server, "Ping"))
        assert len(one.resources) == 1


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_either_version_of_reflection_will_do(one: Bench, version: str) -> None:
    async with grpc_server(version) as server:
        result = await one.run(GRPC_CALL, {**to(server, "Place", message={"customer": "Ann"}), "service": "Orders"})
        assert result["response"]["customer"] == "Ann"


async def test_without_reflection_a_proto_is_needed_and_helps(one: Bench, tmp_path: Path) -> None:
    async with grpc_server() as server:
        error = await one.error(GRPC_CALL, to(server, "Ping"))
        assert (error.kind, "no reflection" in error.message) == ("config", True)
        assert (await one.run(GRPC_CALL, to(server, "Ping", proto=TEXTS)))["status"] == "OK"


@pytest.mark.parametrize("given", ["protos/orders.proto", ["protos/orders.proto", "protos/types.proto"]])
async def test_a_proto_file_is_read_below_the_project_folder(server: OrderServer, tmp_path: Path, given: Any) -> None:
    (tmp_path / "protos").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "protos" / name).write_text(text)
    async with bench() as one:
        one.folder = tmp_path
        result = await one.run(GRPC_CALL, to(server, "Place", message={"customer": "Ann"}, proto_file=given))
        assert result["response"]["customer"] == "Ann"


async def test_no_file_is_read_on_workers_nor_outside_of_the_folder(server: OrderServer, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.proto").write_text(TYPES)
    (tmp_path / "inside" / "link.proto").symlink_to(tmp_path / "secret.proto")
    async with bench() as one:
        assert "needs a folder" in (await one.error(GRPC_CALL, to(server, "Ping", proto_file="a.proto"))).message
        one.folder = tmp_path / "inside"
        for path in (
            "../secret.proto",
            str(tmp_path / "secret.proto"),
            "link.proto",
            "a\0.proto",
            "/proc/self/environ",
            "no.proto",
        ):
            assert (await one.error(GRPC_CALL, to(server, "Ping", proto_file=path))).kind == "config"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('syntax = "proto3"; message M { strin a = 1; }', 'inline.proto:1:32: "strin" is not defined'),
        ("nonsense", "inline.proto:1:1"),
        ('syntax = "proto3"; import "/etc/passwd"; message M {}', "cannot be compiled"),
        ('syntax = "proto3"; import "../../../../etc/passwd"; message M {}', "cannot be compiled"),
        ('syntax = "proto3"; message M { string a = 1; string b = 1; }', "has already been used"),
        ('syntax = "proto3"; ' + "message M {" * 5_000 + "}" * 5_000, "cannot be compiled"),
        ('syntax = "proto3"; message M {} service S { rpc Do(M) returns (M); }', "there is no service 'shop.v1.Orders'"),
        ({"../up.proto": TYPES}, "relative path"),
        ({"/abs.proto": TYPES}, "relative path"),
        ({"a.txt": TYPES}, "relative path"),
        ({}, "proto must be the text"),
        (" ", "proto must be the text"),
    ],
)
async def test_a_proto_that_cannot_be_used_is_told_with_its_place(
    one: Bench, server: OrderServer, text: Any, told: str
) -> None:
    error = await one.error(GRPC_CALL, to(server, "Ping", proto=text))

    assert error.kind == "config"
    assert told in error.message
    assert "root:" not in error.message


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ({"message": {"custmer": "Ann"}}, "message: Order has no field 'custmer'", 'did you mean "customer"?'),
        ({"message": {"items": [{}, {"skuu": 1}]}}, "message.items[1]: Item has no field 'skuu'", 'did you mean "sku"?'),
        ({"message": {"by_name": {"a": {"x": 1}}}}, "message.by_name.a: Item has no field 'x'", "it has: sku, quantity"),
        ({"message": {"state": "OPNE"}}, "message.state: State has no value 'OPNE'", 'did you mean "OPEN"?'),
        ({"message": {"items": {}}}, "message.items must be a list", None),
        ({"message": {"items": [7]}}, "message.items[0] must be an object", None),
        ({"message": {"number": "many"}}, "number", None),
        ({"message": {"items": [{"quantity": 2**40}]}}, "quantity", None),
        ({"message": {"seal": "%"}}, "message.seal must be base64", None),
        ({"message": {"created_at": "yesterday"}}, "created_at", None),
        ({"message": {"courier": "a", "locker": 1}}, "oneof", None),
        ({"message": "text"}, "message must be an object", None),
        ({"message": [{}, {}]}, "takes one message, and 2 are given", None),
        ({"message": {}, "messages": []}, "leave one out", None),
        ({"type": "server"}, "type is server, and /shop.v1.Orders/Place is unary", "type may be left out"),
        ({"type": "both"}, "type must be one of unary, client, server, bidirectional", None),
        ({"tls": {"enabled": 5}}, "tls.enabled must be true or false", None),
        ({"messages": {}}, "messages must be a list", None),
        ({"method": "Plcae"}, "shop.v1.Orders has no method 'Plcae'", 'did you mean "Place"?'),
        ({"service": "shop.v1.Ordesr"}, "there is no service 'shop.v1.Ordesr'", 'did you mean "shop.v1.Orders"?'),
        ({"max_messages": 0}, "max_messages must be", None),
        ({"metadata": {"grpc-timeout": "1S"}}, "does not take", None),
        ({"metadata": {"a b": "1"}}, "does not take", None),
        ({"metadata": {"a": "ü"}}, "cannot carry", "end the name in -bin and write base64"),
        ({"metadata": {"a-bin": "%"}}, "must be base64", None),
        ({"address": "http://127.0.0.1:1"}, "address must be host:port", None),
        ({"host": "127.0.0.1"}, "write both into address", None),
        ({"tls": {"verify": False}}, "tls has no key 'verify'", None),
        ({"proto": "x", "proto_file": "y.proto"}, "leave one out", None),
        ({"message": {"extra": {"a": "x" * 2_000_000}}}, "larger than", None),
    ],
)
async def test_a_config_that_cannot_be_carried_out_is_told(
    one: Bench, server: OrderServer, config: dict[str, Any], message: str, hint: str | None
) -> None:
    error = await one.error(GRPC_CALL, {**to(server, "Place"), **config})

    assert error.kind == "config"
    assert message in error.message
    assert hint is None or error.hint == hint
    assert server.calls == 0


async def test_what_cannot_be_reached_has_a_kind_of_its_own(one: Bench, server: OrderServer) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def kind(**config: Any) -> str:
        return (await one.error(GRPC_CALL, {**to(server, "Ping", proto=TEXTS, timeout=1), **config})).kind

    async with (
        await asyncio.start_server(deaf, "127.0.0.1", 0) as silent,
        await asyncio.start_server(http, "127.0.0.1", 0) as web,
    ):
        assert await kind(address=f"127.0.0.1:{free_port()}") == "connection_refused"
        assert await kind(address="no-such-host.invalid:1") == "dns"
        assert await kind(address=f"127.0.0.1:{silent.sockets[0].getsockname()[1]}") == "timeout"
        assert await kind(address=f"127.0.0.1:{web.sockets[0].getsockname()[1]}") in ("protocol", "connection_error")
        assert await kind(tls=True) == "tls"


async def test_a_worker_reaches_only_what_its_policy_allows(server: OrderServer) -> None:
    async with bench(egress=WorkerPolicy(allow=[f"127.0.0.1:{server.port}"])) as allowed:
        assert (await allowed.run(GRPC_CALL, to(server, "Ping")))["status"] == "OK"
    async with bench(egress=WorkerPolicy()) as refusing:
        assert (await refusing.error(GRPC_CALL, to(server, "Ping"))).kind == "egress"
        assert (await refusing.error(GRPC_CALL, {**to(server, "Ping"), "address": f"localhost:{server.port}"})).kind == "egress"
    assert server.calls == 1


async def test_proxies_of_the_environment_are_not_used(
    one: Bench, server: OrderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    assert (await one.run(GRPC_CALL, to(server, "Ping")))["status"] == "OK"


async def test_a_name_is_asked_for_at_each_of_its_addresses(one: Bench, server: OrderServer) -> None:
    config = to(server, "Ping") | {"address": f"localhost:{server.port}"}

    assert (await one.run(GRPC_CALL, config))["status"] == "OK"


async def test_a_server_that_was_started_again_is_found_again(one: Bench) -> None:
    async with grpc_server("v1") as first:
        await one.run(GRPC_CALL, to(first, "Ping"))
        port = first.port
    lost = "connection_error"  # where the channel has not heard of the end yet
    assert (await one.error(GRPC_CALL, to(first, "Ping"))).kind in ("connection_refused", lost)
    async with grpc_server("v1", port=port) as second:
        assert (await one.run(GRPC_CALL, to(second, "Ping")))["status"] == "OK"


async def test_tls_checks_the_certificate_and_shows_ours(one: Bench, identity: Identity) -> None:
    pair = ((identity.key.encode(), identity.certificate.encode()),)
    credentials = grpc.ssl_server_credentials(pair, identity.certificate.encode(), require_client_auth=True)
    async with grpc_server("v1", credentials=credentials) as server:
        ours = {"ca": identity.certificate, "cert": identity.certificate, "key": identity.key}
        assert (await one.run(GRPC_CALL, to(server, "Ping", tls=ours)))["status"] == "OK"
        assert (await one.run(GRPC_CALL, to(server, "Ping", tls={**ours, "enabled": True})))["status"] == "OK"
        assert (await one.error(GRPC_CALL, to(server, "Ping", tls={**ours, "enabled": False}))).kind != "tls"
        assert (await one.error(GRPC_CALL, to(server, "Ping", tls=True))).kind == "tls"
        wrong = {**ours, "server_name": "elsewhere.example"}
        assert (await one.error(GRPC_CALL, to(server, "Ping", tls=wrong))).kind == "tls"
        assert identity.key in one.secrets


async def test_too_much_is_refused(server: OrderServer) -> None:
    async with bench(limits=Limits(response_read_bytes=40_000, rows=1_000)) as one:
        error = await one.error(GRPC_CALL, to(server, "Watch", message={"customer": "x" * 100}))
        assert error.kind == "response_too_large"
    async with bench() as one:
        for customer in ("huge", "many"):
            error = await one.error(GRPC_CALL, to(server, "Place", message={"customer": customer}))
            assert error.kind == "response_too_large"


async def test_a_flow_asserts_what_a_service_answers(server: OrderServer) -> None:
    steps = """
- id: place
  action: grpc
  config:
    address: ${address}
    service: Orders
    method: Place
    metadata: {authorization: "Bearer ${token}"}
    message: {customer: Ann, items: [{sku: a, quantity: 2}], number: 12}
  assert: [status == "OK", "response.items[0].quantity == 2", response.number == 12, "headers['served-by'] == 'test'"]
  output: {customer: response.customer}
- id: missing
  action: grpc_call
  config: {address: "${address}", service: Orders, method: Place, request: {customer: nobody}}
  assert: [status == "NOT_FOUND", status_code == 5, message contains "customer", customer == "Ann"]
- id: watch
  action: grpc_stream
  config: {address: "${address}", service: Orders, method: Watch, message: {count: 3}}
  assert: [count == 3, "all(responses, .number > 0)", body.number == 3]
- id: mistake
  action: grpc_call
  config: {address: "${address}", service: Orders, method: Place, message: {custmer: Ann}}
"""
    local = Local(actions=ACTIONS)
    events = await local.run(flow(steps), variables={"address": f"127.0.0.1:{server.port}", "token": "not-for-eyes"})

    found = outcomes(events)
    verdicts = {id: outcome["verdict"] for id, outcome in found.items()}
    assert verdicts == {"place": "passed", "missing": "passed", "watch": "passed", "mistake": "error"}
    recorded = repr([event.__dict__ for event in events if "Requested" not in type(event).__name__])
    assert "not-for-eyes" not in recorded
    assert "has no field 'custmer'" in recorded
