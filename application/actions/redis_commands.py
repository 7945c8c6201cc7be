"""The actions `redis.get`, `redis.set`, `redis.del`, `redis.exists` and `redis.command`."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from application.actions.redis_target import RedisTarget, read_redis_target
from application.engine.action import Action, ActionContext, ActionError, Key
from domain.duration import parse_duration
from domain.expressions.errors import Fault
from domain.expressions.values import to_text

_REFUSED = {
    **dict.fromkeys(("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC"), "it has more than one reply"),
    **dict.fromkeys(("HELLO", "QUIT", "RESET", "CLIENT REPLY"), "it changes how the connection speaks"),
    "AUTH": "use username and password",
    "SELECT": "use db",
}
_PAIRS = ("HGETALL", "CONFIG GET")


async def get(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """The value of a key."""
    value = await _call(config, context, ["GET", _key(config)])
    return {"value": value, "exists": value is not None}


async def put(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Set the value of a key, with a time to live or for ever."""
    if config["value"] is None:
        raise ActionError("config", "value is null, which no key can hold", hint="delete the key with redis.del")
    command = ["SET", _key(config), _argument("value", config["value"])]
    if config.get("ttl") is not None:
        command += ["PX", str(_milliseconds(config["ttl"]))]
    return {"ok": await _call(config, context, command) == "OK"}


async def delete(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Delete one key or several."""
    return {"deleted": await _call(config, context, ["DEL", *_keys(config)])}


async def exists(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Whether all of the keys exist."""
    keys = _keys(config)
    count = await _call(config, context, ["EXISTS", *keys])
    return {"exists": count == len(keys), "count": count}


async def command(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Any command with one reply."""
    words = _words(config)
    names = (words[0].upper(), " ".join(words[:2]).upper())
    for name in names:
        if name in _REFUSED:
            raise ActionError("config", f"the command {name} cannot be used: {_REFUSED[name]}")
    value = await _call(config, context, words)
    if any(name in _PAIRS for name in names) and isinstance(value, list) and len(value) % 2 == 0:
        value = {to_text(key): item for key, item in zip(value[::2], value[1::2], strict=True)}
    return {"value": value}


async def _call(config: Mapping[str, Any], context: ActionContext, words: Sequence[str]) -> Any:
    """The reply to one command as plain data."""
    from application.actions.redis_session import RedisSession

    target = read_redis_target(config)
    if target.password:
        context.secrets(target.password)
    context.exchange["request"] = {"command": list(words), "connection": target.label}
    session: RedisSession = context.resources.setdefault(_resource(target), RedisSession(target))
    value = _plain(await session.call([_bytes(word) for word in words], context))
    context.exchange["response"] = {"value": value}
    return value


def _resource(target: RedisTarget) -> str:
    return f"redis:{(target.label, target.password, target.verify)!r}"


def _plain(reply: Any) -> Any:
    """Bytes as text, or as {"base64": ...} when they are none; a list item that is an error as {"error": ...}."""
    if isinstance(reply, list):
        return [_plain(item) for item in reply]
    if isinstance(reply, Exception):
        return {"error": str(reply)}
    if not isinstance(reply, bytes):
        return reply
    try:
        return reply.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(reply).decode()}


def _words(config: Mapping[str, Any]) -> list[str]:
    text, args = config["command"], config.get("args")
    if not isinstance(text, str):
        raise ActionError("config", "command must be text")
    if args is not None and not isinstance(args, list | tuple):
        raise ActionError("config", "args must be a list")
    try:
        words = shlex.split(text) if args is None else text.split()
    except ValueError:
        raise ActionError("config", "command has a quotation mark that is not closed") from None
    if not words:
        raise ActionError("config", "command is empty")
    return words + [_argument(f"args[{index}]", item) for index, item in enumerate(args or ())]


def _key(config: Mapping[str, Any]) -> str:
    return _argument("key", config["key"])


def _keys(config: Mapping[str, Any]) -> list[str]:
    keys = config["key"]
    if isinstance(keys, list | tuple):
        if not keys:
            raise ActionError("config", "key is an empty list")
        return [_argument("key", key) for key in keys]
    return [_argument("key", keys)]


def _argument(name: str, value: Any) -> str:
    """A value as Redis keeps it: text as it is, numbers plain, objects and lists as JSON."""
    if value is None:
        raise ActionError("config", f"{name} is null")
    try:
        return to_text(value)
    except Fault as fault:
        raise ActionError("config", f"{name}: {fault.message}") from None


def _bytes(word: str) -> bytes:
    try:
        return word.encode()
    except UnicodeEncodeError:
        raise ActionError("config", "half of a surrogate pair cannot be sent") from None


def _milliseconds(ttl: Any) -> int:
    try:
        milliseconds = round(parse_duration(ttl) * 1000)
    except ValueError as error:
        raise ActionError("config", f"ttl: {error}") from None
    if milliseconds < 1:
        raise ActionError("config", "ttl must be at least a millisecond")
    return milliseconds


_SERVER = {
    "url": Key(("string",), one_of="server", description="redis://user:password@host:6379/0; rediss:// for TLS."),
    "host": Key(("string",), one_of="server", description="Instead of url."),
    "port": Key(("integer",), description="6379 when left out."),
    "db": Key(("integer",), description="Number of the database, 0 when left out."),
    "username": Key(("string",)),
    "password": Key(("string",), description="Masked wherever it shows."),
    "tls": Key(("boolean",), description="Whether to speak TLS."),
    "verify_ssl": Key(("boolean",), description="Whether to check the certificate (true)."),
}
_ONE_KEY = Key(("string",), required=True)
_SOME_KEYS = Key(("string", "array"), required=True, description="One key or a list of them.")

REDIS_GET = Action(
    name="redis.get",
    aliases=("redis_get",),
    description="Reads a key of Redis or Valkey.",
    keys={**_SERVER, "key": _ONE_KEY},
    run=get,
    result={
        "value": 'The text as it is kept, null when the key is missing, {"base64": ...} when it is not text.',
        "exists": "Whether the key exists.",
    },
)
REDIS_SET = Action(
    name="redis.set",
    aliases=("redis_set",),
    description="Writes a key of Redis or Valkey.",
    keys={
        **_SERVER,
        "key": _ONE_KEY,
        "value": Key(("any",), required=True, description="Text; lists and objects are written as JSON."),
        "ttl": Key(("duration",), description="How long the key lives; for ever when left out."),
    },
    run=put,
    result={"ok": "Whether it was written."},
)
REDIS_DEL = Action(
    name="redis.del",
    aliases=("redis_del", "redis.delete", "redis_delete"),
    description="Deletes keys of Redis or Valkey.",
    keys={**_SERVER, "key": _SOME_KEYS},
    run=delete,
    result={"deleted": "How many there were."},
)
REDIS_EXISTS = Action(
    name="redis.exists",
    aliases=("redis_exists",),
    description="Tells whether keys of Redis or Valkey exist.",
    keys={**_SERVER, "key": _SOME_KEYS},
    run=exists,
    result={"exists": "Whether all of them exist.", "count": "How many of them exist."},
)
REDIS_COMMAND = Action(
    name="redis.command",
    aliases=("redis_command",),
    description="Sends any command with one reply to Redis or Valkey.",
    keys={
        **_SERVER,
        "command": Key(("string",), required=True, description='As in a shell: SET a "b c"; with args only its name.'),
        "args": Key(("array",), description="Its arguments, each as it is."),
    },
    run=command,
    result={"value": "The reply: text, number, null or list; HGETALL and CONFIG GET give an object."},
)
REDIS_ACTIONS = (REDIS_GET, REDIS_SET, REDIS_DEL, REDIS_EXISTS, REDIS_COMMAND)
