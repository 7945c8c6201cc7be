"""The egress policy: what may be reached from a worker, in every spelling, and that nothing arrives where it may not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from application.actions.http_request import HTTP_REQUEST
from application.engine.egress import EgressRefused, LocalPolicy, WorkerPolicy, checked_addresses
from application.engine.errors import ActionError
from domain.errors import Invalid
from tests.support.action_context import bench
from tests.support.http_server import always, http_server, reply

HOSTILE = (
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:a9fe:a9fe::]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[fd00:ec2::254]",
    "[example.com]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "example.com:80@127.0.0.1",
    "example.com\\@127.0.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "192.0.0.192",
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
)

PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822", "2002:5db8:d822::")

Answers = Callable[[str], list[str]]


class OwnNames(asyncio.SelectorEventLoop):
    """A loop whose names are answered by a function, as a hostile DNS server would."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self._answers = answers

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        """Each address as TCP over IPv4 or IPv6."""
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self._answers(str(host))
        ]


def under(answers: Answers, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do the work where names have these answers."""
    with asyncio.Runner(loop_factory=lambda: OwnNames(answers)) as runner:
        runner.run(work())


@pytest.mark.parametrize("host", HOSTILE)
async def test_no_spelling_of_a_private_address_is_asked_by_a_worker(host: str) -> None:
    async with http_server(always(reply())) as server, bench(egress=WorkerPolicy()) as steps:
        error = await steps.error(HTTP_REQUEST, {"method": "GET", "url": f"http://{host}:{server.port}/"})
    assert error.kind in ("egress", "config") or (error.kind == "dns" and host == "localhost.")
    assert not server.connections


async def test_a_fragment_that_looks_like_another_host_changes_nothing() -> None:
    async with http_server(always(reply())) as server, bench(egress=WorkerPolicy()) as steps:
        url = f"http://127.0.0.1:{server.port}#@example.com/"
        assert (await steps.error(HTTP_REQUEST, {"method": "GET", "url": url})).kind == "egress"
    assert not server.connections


async def test_a_redirect_to_a_private_address_is_refused() -> None:
    async with http_server(always(reply())) as hidden:
        for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
            redirect = reply(status=302, headers=[("Location", f"http://{host}:{hidden.port}/")])
            async with http_server(always(redirect)) as server, bench() as steps:
                steps.egress = WorkerPolicy([f"127.0.0.1:{server.port}"])
                error = await steps.error(HTTP_REQUEST, {"method": "GET", "url": server.url})
            assert error.kind == "egress"
    assert not hidden.connections


def test_an_answer_with_one_private_address_is_refused_whole() -> None:
    async def work() -> None:
        async with http_server(always(reply())) as server, bench(egress=WorkerPolicy()) as steps:
            url = f"http://mixed.example:{server.port}/"
            assert (await steps.error(HTTP_REQUEST, {"method": "GET", "url": url})).kind == "egress"
        assert not server.connections

    under(lambda host: ["93.184.216.34", "127.0.0.1"] if host == "mixed.example" else [host], work)


def test_a_second_answer_does_not_open_what_the_first_did_not() -> None:
    answers = iter([["93.184.216.34"], ["169.254.169.254"]])

    async def work() -> None:
        policy = WorkerPolicy()
        assert await checked_addresses(policy, "rebind.example", 80) == ["93.184.216.34"]
        with pytest.raises(EgressRefused):
            await checked_addresses(policy, "rebind.example", 80)

    under(lambda host: next(answers), work)


def test_a_resolver_error_is_no_way_around() -> None:
    asked: list[str] = []

    def answers(host: str) -> list[str]:
        asked.append(host)
        if len(asked) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return ["127.0.0.1"]

    async def work() -> None:
        async with bench(egress=WorkerPolicy()) as steps:
            config = {"method": "GET", "url": "http://flaky.example/"}
            kinds = [(await steps.error(HTTP_REQUEST, config)).kind for _ in range(2)]
        assert kinds == ["dns", "egress"]

    under(answers, work)


def test_a_name_that_an_operator_allows_is_reached() -> None:
    async def work() -> None:
        async with http_server(always(reply("in"))) as server, bench() as steps:
            steps.egress = WorkerPolicy([f"db.internal:{server.port}"])
            result = await steps.run(HTTP_REQUEST, {"method": "GET", "url": f"http://db.internal:{server.port}/"})
            literal = await steps.error(HTTP_REQUEST, {"method": "GET", "url": server.url})
        assert (result["text"], literal.kind) == ("in", "egress")

    under(lambda host: ["127.0.0.1"], work)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    WorkerPolicy().check("example.com", address, 443)


@pytest.mark.parametrize("address", ["", "example.com", "1.2.3", "::ffff:10.0.0.1", "fe80::1%eth0", "168.63.129.16.1"])
def test_what_is_no_public_address_is_refused(address: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        WorkerPolicy().check("h", address, 80)
    assert "TESTMESH_EGRESS_ALLOW" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("entry", "host", "address", "port", "allowed"),
    [
        ("10.0.0.0/8", "x", "10.9.9.9", 1, True),
        ("10.0.0.0/8", "x", "192.168.0.1", 1, False),
        ("127.0.0.1:5432", "x", "127.0.0.1", 5432, True),
        ("127.0.0.1:5432", "x", "127.0.0.1", 5433, False),
        ("127.0.0.1:5432", "x", "::ffff:127.0.0.1", 5432, True),
        ("127.0.0.1:9000-9100", "x", "127.0.0.1", 9050, True),
        ("127.0.0.1:9000-9100", "x", "127.0.0.1", 9101, False),
        ("[::1]:80", "x", "::1", 80, True),
        ("fd00::/8", "x", "fd12::1", 80, True),
        ("db.internal:5432", "DB.internal.", "10.0.0.5", 5432, True),
        ("db.internal:5432", "evil-db.internal", "10.0.0.5", 5432, False),
        ("*.example.com", "a.example.com", "10.0.0.5", 80, True),
        ("*.example.com", "example.com", "10.0.0.5", 80, False),
        ("*.example.com", "evilexample.com", "10.0.0.5", 80, False),
    ],
)
def test_an_entry_of_the_list_allows_what_it_names_only(entry: str, host: str, address: str, port: int, allowed: bool) -> None:
    policy = WorkerPolicy([entry])
    if allowed:
        policy.check(host, address, port)
    else:
        with pytest.raises(EgressRefused):
            policy.check(host, address, port)


@pytest.mark.parametrize("entry", ["", ":80", "127.0.0.1:0x50", "h:70000", "h:9-8", "127.1", "a b", "1.2.3.4/99", "*"])
def test_an_entry_that_cannot_be_read_is_refused(entry: str) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        WorkerPolicy([entry])


async def test_a_local_run_reaches_everything() -> None:
    LocalPolicy().check("h", "169.254.169.254", 80)
    assert await checked_addresses(LocalPolicy(), "127.0.0.1", 80) == ["127.0.0.1"]


async def test_a_name_without_an_address_is_a_dns_error() -> None:
    with pytest.raises(ActionError) as raised:
        await checked_addresses(LocalPolicy(), "no-such-name.invalid", 80)
    assert raised.value.kind == "dns"
