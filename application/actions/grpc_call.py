"""The action `grpc_call`: one gRPC call of any of the four kinds, its answers as plain data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from application.actions.extras import extra_missing
from application.actions.grpc_target import GrpcTarget, Metadata, plain_metadata, read_grpc_target, read_metadata
from application.actions.http_request import read_seconds
from application.engine.action import Action, ActionContext, ActionError, Key
from domain.masking import MASKED, SENSITIVE_HEADERS

if TYPE_CHECKING:
    from application.actions.grpc_channel import Outcome, Peer
    from application.actions.grpc_schema import Method, Schema

_SECONDS = 30.0
_SHOWN = 5
_STREAMS = {"unary": (False, False), "client": (True, False), "server": (False, True), "bidirectional": (True, True)}
"""Kinds of calls by whether the client and the server stream."""


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Make the call; its status is a result, whatever it is."""
    target = read_grpc_target(config, context)
    seconds = min(read_seconds(config.get("timeout"), _SECONDS), context.remaining())
    metadata = read_metadata(config.get("metadata"), context.headers, context)
    service, name = (_name(key, config.get(key)) for key in ("service", "method"))
    begun = time.monotonic()
    peer = _peer(target, context)
    schema = await _schema(config, peer, service, metadata, seconds, context)
    method = schema.method(service, name)
    _check_kind(config.get("type"), method)
    messages = _messages(config, method, context)
    context.exchange["request"] = _shown_request(target, method, metadata, messages)
    requests = _encoded(messages, method, "messages" in config, context)
    left = max(0.001, seconds - (time.monotonic() - begun))
    outcome = await peer.call(_call(method, requests, metadata, left, _most(config, context)), context)
    result = _result(outcome, method, begun)
    context.exchange["response"] = {**result, "responses": result["responses"][:_SHOWN]}
    return result


def _peer(target: GrpcTarget, context: ActionContext) -> Peer:
    """The server, shared by the steps of the execution. ActionError `config` when the extra is not installed."""
    try:
        from application.actions.grpc_channel import Peer
    except ModuleNotFoundError:
        raise extra_missing("grpc_call", "grpcio", "grpc") from None
    peer: Peer = context.resources.setdefault(f"grpc_call:{target!r}:{hash(target)}", Peer(target))
    return peer


async def _schema(
    config: Mapping[str, Any], peer: Peer, service: str, metadata: Metadata, seconds: float, context: ActionContext
) -> Schema:
    """What is known of the service: from proto or proto_file, else from the server."""
    from application.actions.grpc_protoc import compile_files, compile_texts
    from application.actions.grpc_reflection import Reflection

    text, file = config.get("proto"), config.get("proto_file")
    if text is not None and file is not None:
        raise ActionError("config", "proto and proto_file are given: leave one out")
    source = ("text", repr(text)) if text is not None else ("file", repr(file)) if file is not None else ("server", service)
    if source not in peer.schemas:
        if text is not None:
            peer.schemas[source] = await compile_texts(text, context)
        elif file is not None:
            peer.schemas[source] = await compile_files(file, context)
        else:
            peer.schemas[source] = await Reflection(peer, metadata, seconds, context).schema(service)
    schema: Schema = peer.schemas[source]
    return schema


def _messages(config: Mapping[str, Any], method: Method, context: ActionContext) -> Sequence[Any]:
    """What goes out: exactly one message unless the client streams."""
    given = [name for name in ("message", "messages") if config.get(name) is not None]
    if len(given) > 1:
        raise ActionError("config", f"{given[0]} and {given[1]} are given: leave one out")
    value = config[given[0]] if given else {}
    messages = value if isinstance(value, list | tuple) else [value]
    if given == ["messages"] and messages is not value:
        raise ActionError("config", "messages must be a list")
    if not method.client_streams and len(messages) != 1:
        raise ActionError("config", f"{method.path} takes one message, and {len(messages)} are given")
    if len(messages) > context.limits.rows:
        raise ActionError("config", f"at most {context.limits.rows} messages can be sent")
    return messages


def _check_kind(kind: Any, method: Method) -> None:
    """`type` says nothing that the method does not; what is wrong about it is told."""
    if kind is None:
        return
    if kind not in _STREAMS:
        raise ActionError("config", f"type must be one of {', '.join(_STREAMS)}")
    if _STREAMS[kind] != (method.client_streams, method.server_streams):
        real = next(name for name, both in _STREAMS.items() if both == (method.client_streams, method.server_streams))
        raise ActionError("config", f"type is {kind}, and {method.path} is {real}", hint="type may be left out")


def _encoded(messages: Sequence[Any], method: Method, several: bool, context: ActionContext) -> list[bytes]:
    from application.actions.grpc_messages import encode

    most, encoded = context.limits.request_body_bytes, []
    for index, message in enumerate(messages):
        place = f"messages[{index}]" if several or len(messages) > 1 else "message"
        data = encode(message, method.input, method.pool, place, context.limits.json_depth)
        most -= len(data)
        if most < 0:
            raise ActionError("config", f"the messages are larger than {context.limits.request_body_bytes} bytes")
        encoded.append(data)
    return encoded


def _call(method: Method, requests: Sequence[bytes], metadata: Metadata, seconds: float, most: int) -> Any:
    from application.actions.grpc_channel import Call

    return Call(method.path, method.client_streams, method.server_streams, requests, metadata, seconds, most)


def _result(outcome: Outcome, method: Method, begun: float) -> dict[str, Any]:
    from application.actions.grpc_messages import decode

    responses = [decode(data, method.output, method.pool) for data in outcome.responses]
    last = responses[-1] if responses else None
    return {
        "status": outcome.code.name,
        "status_code": outcome.code.value[0],
        "message": outcome.details,
        "response": last,
        "body": last,
        "responses": responses,
        "messages": responses,
        "count": len(responses),
        "headers": plain_metadata(outcome.headers),
        "trailers": plain_metadata(outcome.trailers),
        "time": round((time.monotonic() - begun) * 1000, 3),
        "truncated": outcome.truncated,
    }


def _shown_request(target: GrpcTarget, method: Method, metadata: Metadata, messages: Sequence[Any]) -> dict[str, Any]:
    shown = {name: MASKED if name in SENSITIVE_HEADERS else value for name, value in plain_metadata(metadata).items()}
    return {"address": target.label, "method": method.path, "metadata": shown, "messages": list(messages[:_SHOWN])}


def _most(config: Mapping[str, Any], context: ActionContext) -> int:
    text, most = str(config.get("max_messages", context.limits.rows)), context.limits.rows
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise ActionError("config", f"max_messages must be a number from 1 to {most}")
    return int(text)


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip("/ "):
        raise ActionError("config", f"{key} must be a name")
    return value.strip("/ ")


GRPC_CALL = Action(
    name="grpc_call",
    aliases=("grpc", "grpc.call", "grpc_stream"),
    description="Makes a gRPC call; the method's own description says which of the four kinds it is. Steps of an execution"
    " share a channel. A status that is not OK is a result to be asserted; nothing is sent twice. Needs the extra grpc.",
    keys={
        "address": Key(("string",), one_of="address", description="host:port."),
        "host": Key(("string",), one_of="address", description="Instead of address, with port."),
        "port": Key(("integer",)),
        "service": Key(("string",), required=True, description="Its full name; the package may be left out where one fits."),
        "method": Key(("string",), required=True),
        "message": Key(
            ("object", "array", "string"),
            aliases=("request",),
            description="The request in protobuf's JSON form: fields by either of their names, bytes as base64, enums by name."
            " A list for a client that streams. Left out, it is empty.",
        ),
        "messages": Key(("array",), description="The messages of a client that streams."),
        "type": Key(
            ("string",), choices=tuple(_STREAMS), description="Who streams. The method says it too, and a wrong word is told."
        ),
        "metadata": Key(("object",), description="Names and values; a list repeats a name; names with -bin take base64."),
        "tls": Key(
            ("boolean", "object"),
            description="true, or an object: ca, cert and key (PEM texts), server_name (the host's by default), enabled.",
        ),
        "timeout": Key(
            ("duration",), description="The deadline of the call, 30s by default. Passed, the status is DEADLINE_EXCEEDED."
        ),
        "proto": Key(
            ("string", "object"),
            description="The text of the .proto file, or an object of file names and texts. Without proto and proto_file, the"
            " server is asked (reflection v1, then v1alpha).",
        ),
        "proto_file": Key(
            ("string", "array"), names="proto", description="Paths in the project folder; what they import is found there too."
        ),
        "max_messages": Key(
            ("integer",),
            aliases=("max_receive",),
            description="Ends the stream of a server after so many; the status is OK then.",
        ),
    },
    run=run,
    result={
        "status": "The name of the status: OK, NOT_FOUND, ...",
        "status_code": "Its number: 0, 5, ...",
        "message": "Its text.",
        "response": "The answer, or the last one; null when there is none. Fields by their names in the .proto file, also when"
        " they are empty; 64-bit integers as numbers where they are exact, else as text; bytes as base64, enums by name.",
        "body": "The same as response.",
        "responses": "All answers.",
        "messages": "The same as responses.",
        "count": "How many answers there were.",
        "headers": "The server's metadata by name; a list where one repeats, base64 for -bin.",
        "trailers": "The metadata at the end of the call.",
        "time": "Milliseconds from the beginning to the end, connecting included.",
        "truncated": "Whether the stream was ended after max_messages.",
    },
)
