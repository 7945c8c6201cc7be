"""Values of PostgreSQL as plain JSON data, and plain data as parameters."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.types.string import TextLoader

from application.actions.database_values import base64_text, exact, finite, json_text, moment

_AS_TEXT = (
    "uuid inet cidr macaddr macaddr8 interval date time timetz record money xml"
    " int4range int8range numrange daterange tsrange tstzrange"
    " int4multirange int8multirange nummultirange datemultirange tsmultirange tstzmultirange"
)


class MomentLoader(Loader):
    """timestamp and timestamptz as ISO 8601 text, in the time zone of the session; `infinity` and years BC as written."""

    def load(self, data: Buffer) -> str:
        return moment(bytes(data).decode())


class NumericLoader(Loader):
    """numeric as an integer when it is whole, else as a float."""

    def load(self, data: Buffer) -> int | float | str:
        return exact(bytes(data).decode())


class FloatLoader(Loader):
    """Floats; NaN and infinities as text."""

    def load(self, data: Buffer) -> float | str:
        text = bytes(data).decode()
        return finite(float(text), text)


class BytesLoader(Loader):
    """bytea as base64 text."""

    def load(self, data: Buffer) -> str:
        text = bytes(data)
        if not text.startswith(b"\\x"):
            raise ValueError("the server writes bytea in its old escape format")
        return base64_text(bytes.fromhex(text[2:].decode()))


class ObjectDumper(Dumper):
    """An object as JSON text whose type the server infers: it fits json and jsonb alike."""

    def dump(self, obj: dict[str, Any]) -> bytes:
        return json_text(obj).encode()


def use_plain_values(connection: AsyncConnection[Any]) -> None:
    """Make this connection give and take plain data."""
    adapters = connection.adapters
    for name in _AS_TEXT.split():
        adapters.register_loader(name, TextLoader)
    for name in ("timestamp", "timestamptz"):
        adapters.register_loader(name, MomentLoader)
    for name in ("float4", "float8"):
        adapters.register_loader(name, FloatLoader)
    adapters.register_loader("numeric", NumericLoader)
    adapters.register_loader("bytea", BytesLoader)
    adapters.register_dumper(dict, ObjectDumper)
