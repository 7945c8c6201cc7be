"""The services of a gRPC server and their messages: descriptors from .proto texts or files, or from the server itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import DecodeError

from application.engine.action import ActionError
from domain.expressions.errors import did_you_mean
from domain.values import dataclass

_MOST_FILES = 1_000
_COMMON = (any_pb2, descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
COMMON_FILES: Mapping[str, bytes] = {module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb for module in _COMMON}
"""The files that come with protobuf itself, which a server need not know."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method that can be called, with the descriptors of its messages and the pool that knows all types around them."""

    path: str
    input: Any
    output: Any
    client_streams: bool
    server_streams: bool
    pool: Any


@dataclass(frozen=True, slots=True)
class Schema:
    """What is known of services: a pool of types, and the full names of the services in it."""

    pool: Any
    services: Sequence[str]

    def method(self, service: str, method: str) -> Method:
        """The method; a service may be named without its package where that is clear. ActionError `config` for none."""
        full = resolve_service(service, self.services)
        found = self.pool.FindServiceByName(full)
        known = {one.name: one for one in found.methods}
        if method not in known:
            hint = did_you_mean(method, known) or f"it has: {', '.join(sorted(known))}"
            raise ActionError("config", f"{full} has no method {method!r}", hint=hint)
        one = known[method]
        path = f"/{full}/{method}"
        return Method(path, one.input_type, one.output_type, one.client_streaming, one.server_streaming, self.pool)


def resolve_service(service: str, known: Iterable[str]) -> str:
    """The full name of a service among those known. ActionError `config` for none, or several of that short name."""
    names = sorted(known)
    if service in names:
        return service
    short = [name for name in names if name.rsplit(".", 1)[-1] == service]
    if len(short) == 1:
        return short[0]
    if short:
        raise ActionError("config", f"there are several services {service!r}: {', '.join(short)}", hint="write the package too")
    nearest = did_you_mean(service, [*names, *(name.rsplit(".", 1)[-1] for name in names)])
    raise ActionError("config", f"there is no service {service!r}", hint=nearest or f"there are: {', '.join(names)[:500]}")


def schema_of(files: Iterable[bytes | descriptor_pb2.FileDescriptorProto]) -> Schema:
    """A schema of descriptor files, in any order. ActionError `protocol` when they do not fit together."""
    by_name: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for file in files:
        read = parse_file(file) if isinstance(file, bytes) else file
        by_name[read.name] = read
    if len(by_name) > _MOST_FILES:
        raise ActionError("protocol", f"the services are described by more than {_MOST_FILES} files")
    pool = descriptor_pool.DescriptorPool()
    for name in _ordered(by_name):
        try:
            pool.Add(by_name[name])
        except (TypeError, ValueError) as error:
            raise ActionError("protocol", f"the descriptor of {name[:100]} cannot be used: {str(error)[:300]}") from None
    prefix = {file.name: f"{file.package}." if file.package else "" for file in by_name.values()}
    services = [prefix[file.name] + service.name for file in by_name.values() for service in file.service]
    return Schema(pool, services)


def parse_file(data: bytes) -> descriptor_pb2.FileDescriptorProto:
    """A descriptor file. ActionError `protocol`."""
    try:
        return descriptor_pb2.FileDescriptorProto.FromString(data)
    except DecodeError:
        raise ActionError("protocol", "a descriptor cannot be read") from None


def _ordered(files: Mapping[str, descriptor_pb2.FileDescriptorProto]) -> list[str]:
    """The names of the files, each after what it imports."""
    done: dict[str, None] = {}
    open_: set[str] = set()
    stack = [(name, False) for name in files]
    while stack:
        name, ready = stack.pop()
        if name in done or name not in files:
            continue
        if ready:
            done[name] = None
        elif name not in open_:
            open_.add(name)
            stack.append((name, True))
            stack.extend((wanted, False) for wanted in files[name].dependency)
    return list(done)
