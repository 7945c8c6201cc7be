"""What mock servers take from files of the project: their own config, and bodies of responses."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from application.actions.config_values import known_keys
from application.actions.project_files import file_below, read_data
from application.engine.action import ActionContext, ActionError

_KEYS = ("name", "description", "port", "endpoints", "state", "chaos")
_LATER = ("endpoints", "chaos")
"""Keys whose templates are resolved when a request comes."""


def with_file(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """The config with what `from_file` says: the step's own keys win, its endpoints come before those of the file. ActionError
    `config` for a file that is none of a mock server."""
    name = config["from_file"]
    read = read_data("from_file", name, context)
    given = read.get("mock_server", read) if isinstance(read, Mapping) else None
    if not isinstance(given, Mapping):
        raise ActionError("config", f"from_file: {name[:200]!r} must hold an object with endpoints")
    known_keys(given, _KEYS, f"from_file: {name[:200]!r}")
    there = {key: value if key in _LATER else context.render(value, {}) for key, value in given.items()}
    endpoints = [one["endpoints"] for one in (config, there) if one.get("endpoints") is not None]
    if len(endpoints) == 2 and not all(isinstance(one, list | tuple) for one in endpoints):
        raise ActionError("config", "endpoints of the step and of from_file must be lists where both have some")
    both = [item for one in endpoints for item in one] if len(endpoints) == 2 else next(iter(endpoints), None)
    return {**there, **config, "endpoints": both}


def body_of(path: Any, binary: bool, context: ActionContext) -> Mapping[str, Any]:
    """The body of a response: JSON as a value, other text as it is, what is `binary` as bytes. ActionError `config`."""
    file = file_below("body_from_file", path, context, "mocks/answer.json")
    try:
        content = file.read_bytes()
        if binary:
            return {"base64": base64.b64encode(content).decode()}
        return {"json": json.loads(content)} if file.suffix == ".json" else {"text": content.decode("utf-8-sig")}
    except OSError as error:
        raise ActionError("config", f"body_from_file: {path[:200]!r} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        what = "JSON" if file.suffix == ".json" else "UTF-8"
        raise ActionError("config", f"body_from_file: {path[:200]!r} is not {what}", hint="binary: true sends bytes") from None
