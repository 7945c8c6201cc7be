"""A real gRPC server for tests: an order service with the four kinds of calls, and reflection where a test wants it."""

from __future__ import annotations

import asyncio
import importlib.resources
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

TYPES = """
syntax = "proto3";
package shop.v1;
message Item { string sku = 1; int32 quantity = 2; }
enum State { STATE_UNKNOWN = 0; OPEN = 1; SHIPPED = 2; }
"""
ORDERS = """
syntax = "proto3";
package shop.v1;
import "types.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Order {
  string customer = 1;
  repeated Item items = 2;
  State state = 3;
  int64 number = 4;
  bytes seal = 5;
  map<string, Item> by_name = 6;
  google.protobuf.Timestamp created_at = 7;
  google.protobuf.Duration within = 8;
  google.protobuf.Struct extra = 9;
  google.protobuf.StringValue note = 10;
  double weight = 11;
  oneof way { string courier = 12; uint64 locker = 13; }
  optional bool gift = 14;
  google.protobuf.Any detail = 15;
}
message Wanted { string customer = 1; int32 count = 2; }
message Sum { int64 quantity = 1; repeated string customers = 2; }
service Orders {
  rpc Place(Order) returns (Order);
  rpc Watch(Wanted) returns (stream Order);
  rpc Total(stream Order) returns (Sum);
  rpc Chat(stream Order) returns (stream Order);
  rpc Ping(google.protobuf.Empty) returns (google.protobuf.Empty);
}
"""


class OrderServer:
    """What the service does; `calls` counts the calls, `metadata` is what came with the last one."""

    def __init__(self) -> None:
        self.calls = 0
        self.metadata: dict[str, Any] = {}
        self.cancelled = asyncio.Event()
        self.port = 0

    async def place(self, order: Any, context: Any) -> Any:
        """The order as it came; other statuses for certain customers."""
        self._note(context)
        if order.customer == "nobody":
            context.set_trailing_metadata((("reason", "unknown"), ("proof-bin", b"\x00\xff")))
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such customer")
        if order.customer == "slow":
            await asyncio.sleep(30)
        if order.customer == "broken":
            raise RuntimeError("a bug of the server")
        if order.customer == "huge":
            order.seal = b"x" * 5_000_000
        if order.customer == "many":
            order.MergeFromString(b"\x12\x00" * 500_000)
        await context.send_initial_metadata((("served-by", "test"), ("many", "a"), ("many", "b")))
        return order

    async def watch(self, wanted: Any, context: Any) -> AsyncIterator[Any]:
        """As many orders as are wanted, for ever when that is 0."""
        self._note(context)
        number = 0
        try:
            while wanted.count == 0 or number < wanted.count:
                number += 1
                yield message("Order")(customer=wanted.customer, number=number)
                await asyncio.sleep(0)
            if wanted.customer == "broken":
                await context.abort(grpc.StatusCode.DATA_LOSS, "the rest is lost")
        finally:
            if wanted.count == 0:
                self.cancelled.set()

    async def total(self, orders: AsyncIterator[Any], context: Any) -> Any:
        """The sum of what comes."""
        self._note(context)
        total = message("Sum")()
        async for order in orders:
            total.customers.append(order.customer)
            total.quantity += sum(item.quantity for item in order.items)
        return total

    async def chat(self, orders: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Each order back with its state advanced."""
        self._note(context)
        async for order in orders:
            order.state += 1
            yield order

    async def ping(self, empty: Any, context: Any) -> Any:
        """Nothing."""
        self._note(context)
        return empty

    def _note(self, context: Any) -> None:
        self.calls += 1
        self.metadata = {}
        for name, value in context.invocation_metadata():
            self.metadata.setdefault(name, []).append(value)


@cache
def pool() -> Any:
    """The types of the service, compiled from its texts."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("types.proto", TYPES), ("orders.proto", ORDERS)):
            Path(folder, name).write_text(text)
        known = importlib.resources.files("grpc_tools") / "_proto"
        arguments = [
            "protoc",
            f"-I{folder}",
            f"-I{known}",
            "--include_imports",
            f"--descriptor_set_out={folder}/out",
            "orders.proto",
        ]
        assert protoc.main(arguments) == 0
        described = descriptor_pb2.FileDescriptorSet.FromString(Path(folder, "out").read_bytes())
    made = descriptor_pool.DescriptorPool()
    for file in described.file:
        made.Add(file)
    return made


def message(name: str) -> Any:
    """The class of a message of the service."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(f"shop.v1.{name}"))


@asynccontextmanager
async def grpc_server(
    *reflection: str, credentials: Any = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[OrderServer]:
    """A server on loopback, with reflection in the versions given (v1, v1alpha)."""
    orders = OrderServer()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((_handlers(orders), *map(_reflection, reflection)))
    address = f"{host}:{port}"
    orders.port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield orders
    finally:
        await server.stop(None)


def _handlers(orders: OrderServer) -> Any:
    def handler(kind: str, run: Any, takes: Any) -> Any:
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(run, request_deserializer=takes.FromString, response_serializer=lambda given: given.SerializeToString())

    empty = message_factory.GetMessageClass(pool().FindMessageTypeByName("google.protobuf.Empty"))
    return grpc.method_handlers_generic_handler(
        "shop.v1.Orders",
        {
            "Place": handler("unary_unary", orders.place, message("Order")),
            "Watch": handler("unary_stream", orders.watch, message("Wanted")),
            "Total": handler("stream_unary", orders.total, message("Order")),
            "Chat": handler("stream_stream", orders.chat, message("Order")),
            "Ping": handler("unary_unary", orders.ping, empty),
        },
    )


def _reflection(version: str) -> Any:
    """Both versions have the same messages on the wire."""
    servicer = ReflectionServicer(["shop.v1.Orders"], pool=pool())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(
        f"grpc.reflection.{version}.ServerReflection", {"ServerReflectionInfo": handler}
    )


def packed(type_name: str, **fields: Any) -> Any:
    """A message of the service in an Any."""
    inside = message(type_name)(**fields)
    return any_pb2.Any(type_url=f"type.googleapis.com/shop.v1.{type_name}", value=inside.SerializeToString())
