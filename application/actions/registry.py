"""The one table of actions, by name and alias. Importing it loads no client library: each comes with its first use."""

from __future__ import annotations

from collections.abc import Mapping

from application.actions.assertion import ASSERT
from application.actions.database_poll import DB_POLL
from application.actions.database_query import DATABASE_ACTIONS
from application.actions.delay import DELAY
from application.actions.http_request import HTTP_REQUEST
from application.actions.log import LOG
from application.actions.redis_commands import REDIS_ACTIONS
from application.actions.wait_for import WAIT_FOR
from application.engine.action import Action

ALL: tuple[Action, ...] = (HTTP_REQUEST, WAIT_FOR, *DATABASE_ACTIONS, DB_POLL, *REDIS_ACTIONS, ASSERT, LOG, DELAY)
"""Every action once, in the order of the reference."""

ACTIONS: Mapping[str, Action] = {name: action for action in ALL for name in (action.name, *action.aliases)}
