"""The one table of actions, by name and alias."""

from __future__ import annotations

from collections.abc import Mapping

from application.actions.delay import DELAY
from application.actions.log import LOG
from application.engine.action import Action

_ALL: tuple[Action, ...] = (LOG, DELAY)
ACTIONS: Mapping[str, Action] = {name: action for action in _ALL for name in (action.name, *action.aliases)}
