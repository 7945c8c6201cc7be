"""What an action says when the optional library that it needs is not installed."""

from __future__ import annotations

from application.engine.action import ActionError


def extra_missing(action: str, package: str, extra: str) -> ActionError:
    """The library of an action is not there."""
    return ActionError(
        "config", f"{action} needs the package {package}", hint=f"install the extra: pip install 'testmesh[{extra}]'"
    )
