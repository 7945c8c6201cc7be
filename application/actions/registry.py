"""The one table of actions, by name and alias. An action's module is imported when it is first looked up, so that a flow pays
only for what it uses; its client library comes with its first run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from application.engine.action import Action
from application.engine.errors import ActionUnusable

if TYPE_CHECKING:
    from application.actions.plugins import Plugins

TABLE: Mapping[str, str] = {
    "http_request": "http_request:HTTP_REQUEST http",
    "wait_for": "wait_for:WAIT_FOR",
    "database_query": "database_query:DATABASE_QUERY",
    "postgresql.query": "database_query:POSTGRESQL_QUERY postgresql.* postgres.query postgres.*",
    "mysql.query": "database_query:MYSQL_QUERY mysql.* mariadb.query mariadb.*",
    "sqlite.query": "database_query:SQLITE_QUERY sqlite.*",
    "db_poll": "database_poll:DB_POLL",
    "redis.get": "redis_commands:REDIS_GET redis_get",
    "redis.set": "redis_commands:REDIS_SET redis_set",
    "redis.del": "redis_commands:REDIS_DEL redis_del redis.delete redis_delete",
    "redis.exists": "redis_commands:REDIS_EXISTS redis_exists",
    "redis.command": "redis_commands:REDIS_COMMAND redis_command",
    "kafka_producer": "kafka_producer:KAFKA_PRODUCER kafka_publish kafka.produce kafka.publish",
    "kafka_subscribe": "kafka_consumer:KAFKA_SUBSCRIBE kafka.subscribe",
    "kafka_consumer": "kafka_consumer:KAFKA_CONSUMER kafka_consume kafka.consume",
    "grpc_call": "grpc_call:GRPC_CALL grpc grpc.call grpc_stream",
    "websocket": "websocket:WEBSOCKET",
    "sse": "sse:SSE",
    "mock_server_start": "mock_server:MOCK_SERVER_START",
    "mock_server_update": "mock_server:MOCK_SERVER_UPDATE mock_server_configure",
    "mock_server_verify": "mock_server_verify:MOCK_SERVER_VERIFY",
    "mock_server_reset_state": "mock_server:MOCK_SERVER_RESET_STATE",
    "mock_server_stop": "mock_server:MOCK_SERVER_STOP",
    "condition": "condition:CONDITION",
    "for_each": "for_each:FOR_EACH",
    "parallel": "parallel:PARALLEL",
    "wait_until": "wait_until:WAIT_UNTIL",
    "run_flow": "run_flow:RUN_FLOW",
    "transform": "transform:TRANSFORM",
    "contract_generate": "contract_generate:CONTRACT_GENERATE",
    "contract_verify": "contract_verify:CONTRACT_VERIFY",
    "assert": "assertion:ASSERT",
    "log": "log:LOG",
    "delay": "delay:DELAY",
}
"""Every action once, in the order of the reference: where it stands below application.actions, and its aliases."""


class Actions(Mapping[str, Action]):
    """Actions by name and alias: the built-in ones, then those of installed packages, which are looked for only when a name is
    not built in. Asking for built-in names imports nothing; a family such as `mysql.*` belongs to its owner."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._places: dict[str, str] = {}
        for name, line in table.items():
            place, *aliases = line.split()
            self._places |= dict.fromkeys((name, *aliases), place)
        self._found: dict[str, Action] = {}
        self._plugins: Plugins | None = None

    @property
    def plugins(self) -> Plugins:
        """The actions of installed packages."""
        if self._plugins is None:
            from application.actions.plugins import Plugins  # only for a name that is not built in

            self._plugins = Plugins(self.is_built_in)
        return self._plugins

    def __getitem__(self, name: str) -> Action:
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._built_in(name) if name in self._places else self._plugged_in(name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._places or (isinstance(name, str) and not self.is_built_in(name) and name in self.plugins.names())

    def __iter__(self) -> Iterator[str]:
        yield from self._places
        yield from self.plugins.names()

    def __len__(self) -> int:
        return len(list(iter(self)))

    def usable(self) -> tuple[Mapping[str, Action], list[ActionUnusable]]:
        """Every action by name and alias, those of packages included; and what is wrong with such as are not usable."""
        found, wrong = {name: self[name] for name in self._places}, list(self.plugins.taken())
        for name in self.plugins.names():
            try:
                found[name] = self[name]
            except ActionUnusable as fault:
                wrong.append(fault)
        return found, wrong

    def _built_in(self, name: str) -> Action:
        module, attribute = self._places[name].split(":")
        found: Action = getattr(importlib.import_module(f"application.actions.{module}"), attribute)
        return found

    def _plugged_in(self, name: str) -> Action:
        found = None if self.is_built_in(name) else self.plugins.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def is_built_in(self, name: str) -> bool:
        """Whether the name is one of TestMesh's own, or belongs to one of its families."""
        return name in self._places or f"{name.split('.', 1)[0]}.*" in self._places


ACTIONS = Actions(TABLE)


def all_actions() -> tuple[Action, ...]:
    """Every built-in action once; this imports them all."""
    return tuple(ACTIONS[name] for name in TABLE)
