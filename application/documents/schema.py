"""The JSON Schema (2020-12) of flow documents, from the tables that check them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from application.documents.actions import config_record, find_action
from application.documents.grammar import FLOW, STEP
from application.documents.source import did_you_mean
from application.engine.action import Action
from domain.errors import NotFound

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(actions: Mapping[str, Action]) -> dict[str, Any]:
    """The schema of a flow document. `actions` maps every name and alias to its action."""
    configs = {action.name: _config(action) for action in actions.values()}
    return {
        "$schema": DIALECT,
        "title": "TestMesh flow",
        "type": "object",
        "anyOf": [
            {"properties": {"flow": {"$ref": "#/$defs/flow"}}, "required": ["flow"], "additionalProperties": False},
            {"$ref": "#/$defs/flow"},
        ],
        "$defs": {"flow": FLOW.schema(), "step": _step(actions), **{f"config.{name}": it for name, it in configs.items()}},
    }


def action_schema(name: str, actions: Mapping[str, Action]) -> dict[str, Any]:
    """The schema of the config of one action, by name or alias; with that of steps where it holds some. Raises NotFound."""
    action = action_named(name, actions)
    config = _config(action)
    nested = {"$defs": json_schema(actions)["$defs"]} if "#/$defs/" in str(config) else {}
    return {"$schema": DIALECT, "title": action.name, **config, **nested}


def action_named(name: str, actions: Mapping[str, Action]) -> Action:
    """The action of that name or alias. Raises NotFound, and ActionUnusable."""
    action = find_action(name, actions)
    if action is None:
        raise NotFound(f"There is no action {name!r}", remedy=did_you_mean(name, actions) or "testmesh docs names them all")
    return action


def _config(action: Action) -> dict[str, Any]:
    about = {"description": action.description} if action.description else {}
    return {**config_record(action).schema(), **about}


def _step(actions: Mapping[str, Action]) -> dict[str, Any]:
    schema = STEP.schema()
    schema["properties"]["action"] = {"anyOf": [_names(list(actions))], "description": "What the step does."}
    schema["allOf"] = [_rule(action, actions) for action in {action.name: action for action in actions.values()}.values()]
    return schema


def _rule(action: Action, actions: Mapping[str, Action]) -> dict[str, Any]:
    """If the step's action is this one, its config is as the action declares."""
    names = sorted({action.name, *(name for name, other in actions.items() if other.name == action.name)})
    then: dict[str, Any] = {"properties": {"config": {"$ref": f"#/$defs/config.{action.name}"}}}
    if any(key.required or key.one_of for key in action.keys.values()):
        then["required"] = ["config"]
    return {"if": {"properties": {"action": _names(names)}, "required": ["action"]}, "then": then}


def _names(names: list[str]) -> dict[str, Any]:
    """Exactly these names; `mysql.*` stands for all that begin with `mysql.`."""
    families = [name for name in names if name.endswith(".*")]
    plain = {"enum": [name for name in names if name not in families]}
    if not families:
        return plain
    return {"anyOf": [plain, *({"type": "string", "pattern": f"^{re.escape(family[:-1])}"} for family in families)]}
