"""What a websocket step does, one after the other: connect, send, receive, close; read before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from application.actions.config_values import known_keys, read_expression
from application.engine.action import ActionError
from domain.definition import Path as Place
from domain.expressions import is_template

ACTIONS = ("connect", "send", "receive", "close")
CONNECT = ("url", "headers", "params", "query", "auth", "cookies", "subprotocols", "verify_ssl", "cert", "proxy", "ping")
_ACT = ("action", *CONNECT, "message", "base64", "expect", "expect_close", "count", "timeout", "code", "reason")
_RECEIVES = ("expect", "expect_close", "count")


def read_acts(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The acts of a step. Without action and actions: connect, send, receive and close, as far as there is something to do.
    ActionError `config` for what cannot be done."""
    if config.get("actions") is not None and config.get("action") is not None:
        raise ActionError("config", "action and actions are both given; keep one")
    if config.get("actions") is not None:
        acts = list(_listed(config["actions"]))
        if config.get("url") is not None and not any(act["action"] == "connect" for act in acts):
            acts.insert(0, {"action": "connect"})
    elif config.get("action") is not None:
        acts = [{key: value for key, value in config.items() if key in _ACT}]
    else:
        acts = list(_implied(config))
    for act in acts:
        _check(act)
    return acts


def act_expressions(config: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """The expressions in `actions`, each with its path below the config."""
    for number, act in enumerate(config["actions"] if isinstance(config.get("actions"), list) else []):
        if isinstance(act, Mapping) and isinstance(act.get("expect"), str):
            yield ("actions", number, "expect"), act["expect"]


def act_faults(config: Mapping[str, Any]) -> Iterator[tuple[Place, str, str | None]]:
    """What is wrong with the acts whatever their templates come to: where, what, and a remedy."""
    acts = config.get("actions")
    if isinstance(acts, str) or any(isinstance(act, str) and is_template(act) for act in _kinds(config)):
        return
    bare = [_without_expressions(act) for act in acts] if isinstance(acts, list) else acts
    try:
        read_acts({**_without_expressions(config), **({} if acts is None else {"actions": bare})})
    except ActionError as error:
        yield () if acts is None else ("actions",), error.message, error.hint


def _kinds(config: Mapping[str, Any]) -> Iterator[Any]:
    yield config.get("action")
    acts = config.get("actions")
    for act in acts if isinstance(acts, list) else []:
        yield act.get("action") if isinstance(act, Mapping) else act


def _without_expressions(act: Any) -> Any:
    """Expressions are checked apart; any will do here."""
    return {**act, "expect": "true"} if isinstance(act, Mapping) and isinstance(act.get("expect"), str) else act


def _listed(value: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list | tuple) or not value:
        raise ActionError("config", "actions is a list of objects with action: connect, send, receive or close")
    for number, item in enumerate(value, 1):
        act = {"action": item} if isinstance(item, str) else item
        if not isinstance(act, Mapping):
            raise ActionError("config", f"action {number} must be an object with action")
        known_keys(act, _ACT, f"action {number}")
        if act.get("action") is None:
            raise ActionError("config", f"action {number} does not say which action it is: {', '.join(ACTIONS)}")
        yield act


def _implied(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if config.get("url") is None:
        raise ActionError("config", "websocket needs action, actions or url")
    yield {"action": "connect"}
    if "message" in config or "base64" in config:
        yield {"action": "send", **_some(config, ("message", "base64", "timeout"))}
    if any(config.get(key) is not None for key in _RECEIVES):
        yield {"action": "receive", **_some(config, (*_RECEIVES, "timeout"))}
    yield {"action": "close", **_some(config, ("code", "reason"))}


def _some(config: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: config[key] for key in keys if key in config}


def _check(act: Mapping[str, Any]) -> None:
    kind = act["action"]
    if kind not in ACTIONS:
        raise ActionError("config", f"there is no action {str(kind)[:40]!r}", hint=f"one of {', '.join(ACTIONS)}")
    if kind == "send" and ("message" in act) == ("base64" in act):
        raise ActionError("config", "send needs message, or base64 for a binary message")
    expect = act.get("expect")
    if expect is not None and not isinstance(expect, Mapping | list):
        read_expression(expect, "expect")
