"""A channel to one gRPC server: to a judged address, with nothing taken from the environment, never sending twice."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from domain.values import dataclass

# Its core writes failures of connections to stderr by itself; the step tells them.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from application.actions.grpc_target import GrpcTarget, Metadata
from application.engine.action import ActionContext, ActionError
from application.engine.egress import checked_addresses
from domain.limits import MIB, Limits

_CONNECT_SECONDS = 10.0
_MESSAGE_BYTES = 4 * MIB
_NEVER_MS = 600_000
_AROUND = re.compile(r"^.*last error: (?:[A-Z]+: )?|ipv[46]:\S+: ", re.DOTALL)
_REASONS = (
    ("onnection refused", "connection_refused", "is the server running there?"),
    ("WRONG_VERSION_NUMBER", "tls", "does the port speak TLS?"),
    ("CERTIFICATE_VERIFY_FAILED", "tls", "tls.ca names another authority, tls.server_name another name"),
    ("Hostname Verification", "tls", "tls.server_name names another host"),
    ("ertificate", "tls", "tls.ca names another authority, tls.server_name another name"),
    ("SSL", "tls", "does the port speak TLS?"),
    ("andshake", "tls", "does the port speak TLS?"),
    ("timed out", "timeout", None),
    ("imeout", "timeout", None),
    ("HTTP", "protocol", "does the port speak gRPC?"),
    ("SETTINGS", "protocol", "does the port speak gRPC, with TLS or without?"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its path, whether each side sends many messages, and what goes out, encoded."""

    path: str
    client_streams: bool
    server_streams: bool
    requests: Sequence[bytes]
    metadata: Metadata
    seconds: float
    most: int
    """How many messages are read before the stream is ended by us."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `truncated`: we ended it after enough messages."""

    code: Any
    details: str
    responses: Sequence[bytes]
    headers: Any
    trailers: Any
    truncated: bool


class Peer:
    """The channel to a server, opened when first used and shared by the steps of an execution."""

    def __init__(self, target: GrpcTarget) -> None:
        self._target = target
        self._turn = asyncio.Lock()
        self._channel: Any = None
        self.schemas: dict[Any, Any] = {}
        """What is known of its services, by where that comes from."""

    async def call(self, call: Call, context: ActionContext) -> Outcome:
        """Make the call. A status that is not OK is an outcome; ActionError when the server cannot be reached."""
        begun = asyncio.get_running_loop().time()
        channel = await self.connected(context, call.seconds)
        kind = f"{'stream' if call.client_streams else 'unary'}_{'stream' if call.server_streams else 'unary'}"
        given = _all(call.requests) if call.client_streams else call.requests[0]
        left = max(0.001, call.seconds - (asyncio.get_running_loop().time() - begun))
        made = getattr(channel, kind)(call.path)(given, metadata=call.metadata, timeout=left)
        try:
            outcome = await _outcome(made, call, context.limits)
            if outcome.code is grpc.StatusCode.UNAVAILABLE and channel.get_state() is not grpc.ChannelConnectivity.READY:
                lost = _AROUND.sub("", outcome.details)[:300]
                raise ActionError("connection_error", f"the connection to {self._target.label} was lost: {lost}")
            return outcome
        finally:
            if not made.done():
                made.cancel()

    async def connected(self, context: ActionContext, seconds: float) -> Any:
        """The channel, connected."""
        async with self._turn:
            if self._channel is not None and self._channel.get_state() != grpc.ChannelConnectivity.READY:
                await self.close()
            if self._channel is None:
                self._channel = await _connect(self._target, context, min(seconds, _CONNECT_SECONDS))
            return self._channel

    async def close(self) -> None:
        """End the channel and the calls on it."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


async def _outcome(made: Any, call: Call, limits: Limits) -> Outcome:
    responses: list[bytes] = []
    truncated = False
    try:
        if call.server_streams:
            left = limits.response_read_bytes // 4
            async for data in made:
                responses.append(data)
                left -= len(data)
                if left < 0:
                    raise ActionError("response_too_large", f"{call.path} sends more than is read", hint="set max_messages")
                if len(responses) == call.most:
                    truncated = made.cancel()
                    break
        else:
            responses.append(await made)
    except grpc.aio.AioRpcError:
        pass  # its parts are read below
    code, details = await made.code(), await made.details() or ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        raise ActionError("response_too_large", f"{call.path}: {details[:200]}")
    headers, trailers = await made.initial_metadata(), await made.trailing_metadata()
    if truncated:
        code, details = grpc.StatusCode.OK, ""
    return Outcome(code, details, responses, headers, trailers, truncated)


async def _all(requests: Sequence[bytes]) -> AsyncIterator[bytes]:
    for request in requests:
        yield request


async def _connect(target: GrpcTarget, context: ActionContext, seconds: float) -> Any:
    """A channel to the first address that takes one."""
    failure: ActionError | None = None
    try:
        async with asyncio.timeout(seconds):
            for address in await checked_addresses(context.egress, target.host, target.port):
                channel = _made(target, address, context.limits)
                try:
                    await _ready(channel, target)
                    return channel
                except BaseException as error:
                    await channel.close()
                    if not isinstance(error, ActionError):
                        raise
                    failure = error
    except TimeoutError:
        raise ActionError("timeout", f"no connection to {target.label} within {seconds:g} s") from None
    raise failure or ActionError("dns", f"{target.host} has no address")


async def _ready(channel: Any, target: GrpcTarget) -> None:
    """Wait until the channel is connected; ActionError says why it cannot be."""
    state = channel.get_state(try_to_connect=True)
    while state != grpc.ChannelConnectivity.READY:
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            raise _unreachable(await _reason(channel), target)
        await channel.wait_for_state_change(state)
        state = channel.get_state()


async def _reason(channel: Any) -> str:
    """Why the channel is not connected: told only to a call, which fails at once and is not sent."""
    try:
        await channel.unary_unary("/none/none")(b"", timeout=_CONNECT_SECONDS)
    except grpc.aio.AioRpcError as error:
        return error.details() or ""
    return ""


def _unreachable(details: str, target: GrpcTarget) -> ActionError:
    reason = _AROUND.sub("", details)[:300]
    for sign, kind, hint in _REASONS:
        if sign in details:
            return ActionError(kind, f"no connection to {target.label}: {reason}", hint=hint)
    return ActionError(
        "connection_error", f"no connection to {target.label}: {reason}", hint="does the port speak gRPC, with TLS or without?"
    )


def _made(target: GrpcTarget, address: str, limits: Limits) -> Any:
    tls = target.tls
    literal = f"ipv6:[{address.replace('%', '%25')}]:{target.port}" if ":" in address else f"ipv4:{address}:{target.port}"
    name = (tls.server_name if tls else "") or target.host
    options: list[tuple[str, Any]] = [
        ("grpc.default_authority", target.label),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", _NEVER_MS),
        ("grpc.max_reconnect_backoff_ms", _NEVER_MS),
        ("grpc.max_receive_message_length", min(_MESSAGE_BYTES, limits.response_read_bytes)),
        ("grpc.max_send_message_length", limits.request_body_bytes),
        ("grpc.max_metadata_size", limits.response_header_bytes),
        ("grpc.absolute_max_metadata_size", limits.response_header_bytes),
        ("grpc.primary_user_agent", "testmesh"),
    ]
    if tls is None:
        return grpc.aio.insecure_channel(literal, options=options)
    roots = tls.ca.encode() if tls.ca else _authorities()
    credentials = grpc.ssl_channel_credentials(roots, tls.key.encode() or None, tls.cert.encode() or None)
    return grpc.aio.secure_channel(literal, credentials, options=[*options, ("grpc.ssl_target_name_override", name)])


@cache
def _authorities() -> bytes:
    """The certificate authorities that the machine trusts."""
    import certifi

    return Path(ssl.get_default_verify_paths().cafile or certifi.where()).read_bytes()
