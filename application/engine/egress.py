"""Egress: which addresses a step may connect to, judged for every address of an answer and again at the socket."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from typing import Protocol

from application.engine.errors import ActionError
from domain.errors import Invalid
from domain.values import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "3fff::/20",
        "fec0::/10",
    )
)
"""Shared, benchmark, relay, translated, documentation and site-local ranges, and the metadata service that Azure gives a
public address: ipaddress does not call them private everywhere."""
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "192.0.0.192/32",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "2001::/32",
        "fd00:ec2::254/128",
        "fe80::/10",
        "ff00::/8",
    )
)
"""Unspecified, metadata, link-local, multicast, reserved and Teredo addresses: no entry allows them."""
_ENTRY = re.compile(r"(?P<host>\[[^\]]+\]|[^:]+)(?::(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?)?")


class EgressRefused(ActionError):
    """The connection must not be made. The text does not tell whether anything listens there."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            "egress",
            f"{host}:{port} may not be reached from here",
            hint="an operator allows it in `[egress] allow` of the server's testmesh.toml, or in TESTMESH_EGRESS_ALLOW",
        )


class EgressPolicy(Protocol):
    """Judges addresses. `name` tells policies apart where connections are shared."""

    @property
    def name(self) -> str: ...

    @property
    def base(self) -> EgressPolicy:
        """The policy of the process, without what one execution added to it."""
        ...

    def check(self, host: str, address: str, port: int) -> None:
        """Raise EgressRefused when a connection to this address (an IP literal), asked for as `host`, must not be made."""
        ...


class LocalPolicy:
    """All allowed: whoever runs flows here attacks only himself."""

    name = "local"

    @property
    def base(self) -> EgressPolicy:
        """Itself."""
        return self

    def check(self, host: str, address: str, port: int) -> None:
        """Allowed."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of the operator's list: a network or a name (`*.` for its subdomains), and the ports."""

    network: Network | None
    name: str
    first: int
    last: int

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Whether the entry allows the connection."""
        if not self.first <= port <= self.last:
            return False
        if self.network is not None:
            return address.version == self.network.version and address in self.network
        asked = host.rstrip(".").lower()
        return asked.endswith(self.name[1:]) if self.name.startswith("*.") else asked == self.name


class WorkerPolicy:
    """Only public addresses, and what the operator's list names."""

    def __init__(self, allow: Sequence[str] = (), own: Collection[tuple[str, int]] = ()) -> None:
        """`own` are the platform's own addresses and ports, which no entry allows. Entries: `10.0.0.0/8`,
        `127.0.0.1:5432`, `[::1]:80`, `db.internal:5432`, `*.example.com`, `127.0.0.1:9000-9100`. Raises Invalid for one that
        cannot be read."""
        self._allowed = tuple(map(parse_entry, allow))
        self._own = frozenset((ipaddress.ip_address(address), port) for address, port in own)
        self._name = "worker:" + ",".join(sorted(allow))

    @property
    def name(self) -> str:
        """The same for equal lists."""
        return self._name

    @property
    def base(self) -> EgressPolicy:
        """Itself."""
        return self

    def check(self, host: str, address: str, port: int) -> None:
        """Judge the address, and every IPv4 address that is hidden in it."""
        try:
            given = ipaddress.ip_address(address.split("%", 1)[0])
        except ValueError as error:
            raise EgressRefused(host, port) from error
        for judged in _unwrapped(given):
            allowed = _public(judged) or any(entry.covers(host, judged, port) for entry in self._allowed)
            if (
                not allowed
                or (judged, port) in self._own
                or any(judged.version == never.version and judged in never for never in _NEVER)
            ):
                raise EgressRefused(host, port)


class ExecutionPolicy:
    """The process's policy, and the exact addresses of the servers that this execution started itself."""

    def __init__(self, base: EgressPolicy) -> None:
        self._base = base
        self._own: set[tuple[Address, int]] = set()

    @property
    def name(self) -> str:
        """Its own as soon as it allows more than the process's policy."""
        return f"{self._base.name}+{id(self)}" if self._own else self._base.name

    @property
    def base(self) -> EgressPolicy:
        """The process's policy."""
        return self._base

    def allow(self, address: str, port: int) -> None:
        """A server of this execution listens here now."""
        self._own.add((ipaddress.ip_address(address), port))

    def forbid(self, address: str, port: int) -> None:
        """It listens no more."""
        self._own.discard((ipaddress.ip_address(address), port))

    def check(self, host: str, address: str, port: int) -> None:
        """Raise EgressRefused unless it is one of its own servers or the process's policy allows it."""
        if self._own and (ipaddress.ip_address(address.split("%", 1)[0]), port) in self._own:
            return
        self._base.check(host, address, port)


def parse_entry(text: str) -> Allowed:
    """An entry of the allow list."""
    found = _ENTRY.fullmatch(text.strip()) or _network_only(text.strip())
    if found is None:
        raise _unreadable(text)
    host = found["host"].strip("[]").lower().rstrip(".")
    first = int(found["first"] or 1)
    last = int(found["last"] or found["first"] or 65535)
    if not host or not 1 <= first <= last <= 65535:
        raise _unreadable(text)
    try:
        return Allowed(ipaddress.ip_network(host, strict=False), "", first, last)
    except ValueError:
        if not re.fullmatch(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", host) or re.fullmatch(r"[0-9.]+", host):
            raise _unreadable(text) from None
        return Allowed(None, host, first, last)


def _network_only(text: str) -> re.Match[str] | None:
    """An IPv6 network without brackets has no port."""
    return re.fullmatch(r"(?P<host>[0-9a-fA-F:.]+(?:/\d{1,3})?)(?P<first>)(?P<last>)", text)


def _unreadable(text: str) -> Invalid:
    return Invalid(
        f"the egress allow list has an entry that cannot be read: {text!r}",
        code="invalid_egress",
        remedy="write an address, a network or a name, with a port or not: 10.0.0.0/8, 127.0.0.1:5432, *.example.com",
    )


def _unwrapped(address: Address) -> list[Address]:
    """The address, or the IPv4 address inside it; both where the place inside depends on how the operator set it up."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64:
        return [low]
    if address in _LOCAL_NAT64:
        return [address, low]
    if address in _V4_COMPATIBLE and int(address) > 1:
        return [low]
    if address in _SIX_TO_FOUR:
        return [ipaddress.IPv4Address((int(address) >> 80) & 0xFFFFFFFF)]
    return [address]


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address in _TEREDO or address.is_site_local):
        return False
    if any(address.version == network.version and address in network for network in _REFUSED):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def checked_addresses(policy: EgressPolicy, host: str, port: int) -> list[str]:
    """The addresses of a host, in order, every one of them judged. ActionError `dns` when there is none."""
    import asyncio  # validating a flow connects to nothing
    import socket

    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ActionError("dns", f"{host} cannot be resolved: {_reason(error)}", hint="check the host name") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise ActionError("dns", f"{host} has no address", hint="check the host name")
    for address in addresses:
        policy.check(host, address, port)
    return addresses


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
