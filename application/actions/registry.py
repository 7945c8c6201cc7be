"""The one table of actions, by name and alias. An action's module is imported when it is first looked up, so that a flow pays
only for what it uses; its client library comes with its first run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from application.engine.action import Action

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
    """Actions by name and alias. Asking for names imports nothing."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._places: dict[str, str] = {}
        for name, line in table.items():
            place, *aliases = line.split()
            self._places |= dict.fromkeys((name, *aliases), place)
        self._found: dict[str, Action] = {}

    def __getitem__(self, name: str) -> Action:
        found = self._found.get(name)
        if found is None:
            module, attribute = self._places[name].split(":")
            found = self._found[name] = getattr(importlib.import_module(f"application.actions.{module}"), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


ACTIONS: Mapping[str, Action] = Actions(TABLE)


def all_actions() -> tuple[Action, ...]:
    """Every action once; this imports them all."""
    return tuple(ACTIONS[name] for name in TABLE)
