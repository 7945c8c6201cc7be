"""Messages of gRPC from plain data and back, in the JSON form of protobuf (protobuf.dev, ProtoJSON)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.message_factory import GetMessageClass

from application.engine.action import ActionError
from domain.expressions.errors import did_you_mean

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_MOST_VALUES = 100_000
_OWN_FORM = "google.protobuf."


def encode(value: Any, descriptor: Any, pool: Any, place: str, depth: int) -> bytes:
    """The bytes of a message. ActionError `config` says where the value does not fit, and what was meant."""
    if value is None:
        value = {}
    _check(value, descriptor, place, depth)
    message = GetMessageClass(descriptor)()
    try:
        json_format.ParseDict(value, message, descriptor_pool=pool, max_recursion_depth=depth)
        data: bytes = message.SerializeToString()
    except json_format.ParseError as error:
        raise ActionError("config", f"{place} does not fit {descriptor.full_name}: {str(error)[:400]}") from None
    except (EncodeError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ActionError("config", f"{place} is no {descriptor.full_name}: {str(error)[:400]}") from None
    return data


def decode(data: bytes, descriptor: Any, pool: Any) -> Any:
    """The message as plain data: fields by the names of the .proto file, those without presence also when they are empty;
    64-bit integers as numbers where they are exact as such, bytes as base64, enums by name. ActionError `protocol`."""
    try:
        message = GetMessageClass(descriptor).FromString(data)
        _weigh(message)
        return json_format.MessageToDict(
            message,
            always_print_fields_with_no_presence=True,
            preserving_proto_field_name=True,
            descriptor_pool=pool,
            unquote_int64_if_possible=True,
        )
    except DecodeError:
        raise ActionError("protocol", f"the answer is no {descriptor.full_name}", hint="is this the server's .proto?") from None
    except (json_format.Error, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ActionError("protocol", f"the answer cannot be shown as JSON: {str(error)[:300]}") from None


def _weigh(message: Any) -> None:
    """Refuse a message of very many values: two bytes on the wire may be an object of hundreds here."""
    left, stack = _MOST_VALUES, [message]
    while stack:
        one = stack.pop()
        if one.DESCRIPTOR.full_name == "google.protobuf.Any":
            left -= len(one.value) // 2
        for field, value in one.ListFields():
            if field.is_repeated:
                left -= len(value)
            if left < 0:
                raise ActionError("response_too_large", f"the answer holds more than {_MOST_VALUES} values")
            stack.extend(_inside(field, value))


def _inside(field: Any, value: Any) -> Iterable[Any]:
    kind = field.message_type
    if kind is None:
        return ()
    if kind.GetOptions().map_entry:
        return value.values() if kind.fields_by_name["value"].message_type is not None else ()
    return value if field.is_repeated else (value,)


def _check(value: Any, descriptor: Any, place: str, depth: int) -> None:
    """Refuse names that a message does not have."""
    if descriptor.full_name.startswith(_OWN_FORM):
        return
    if depth <= 0:
        raise ActionError("config", f"{place} is nested too deeply")
    if not isinstance(value, Mapping):
        raise ActionError("config", f"{place} must be an object, as it is a {descriptor.name}")
    fields = {name: field for field in descriptor.fields for name in (field.json_name, field.name)}
    for name, inner in value.items():
        if isinstance(name, str) and name.startswith("["):
            continue
        if name not in fields:
            hint = did_you_mean(name, fields) or f"it has: {', '.join(field.name for field in descriptor.fields)[:500]}"
            raise ActionError("config", f"{place}: {descriptor.name} has no field {name!r}", hint=hint)
        _check_field(inner, fields[name], f"{place}.{name}", depth - 1)


def _check_field(value: Any, field: Any, place: str, depth: int) -> None:
    if value is None:
        return
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        if not isinstance(value, Mapping):
            raise ActionError("config", f"{place} must be an object, as it is a map")
        for name, inner in value.items():
            _check_one(inner, kind.fields_by_name["value"], f"{place}.{name}", depth)
    elif field.is_repeated:
        if not isinstance(value, list | tuple):
            raise ActionError("config", f"{place} must be a list, as it is a repeated field")
        for index, inner in enumerate(value):
            _check_one(inner, field, f"{place}[{index}]", depth)
    else:
        _check_one(value, field, place, depth)


def _check_one(value: Any, field: Any, place: str, depth: int) -> None:
    if field.message_type is not None:
        _check(value, field.message_type, place, depth)
    elif field.enum_type is not None and isinstance(value, str) and not field.enum_type.full_name.startswith(_OWN_FORM):
        names = field.enum_type.values_by_name
        if value not in names and not value.lstrip("-").isdecimal():
            hint = did_you_mean(value, names) or f"it has: {', '.join(names)[:500]}"
            raise ActionError("config", f"{place}: {field.enum_type.name} has no value {value[:100]!r}", hint=hint)
    elif field.type == field.TYPE_BYTES and not (isinstance(value, str) and _BASE64.fullmatch(value)):
        raise ActionError("config", f"{place} must be base64, as it is bytes", hint="the function toBase64 makes it of text")
