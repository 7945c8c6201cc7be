"""Fixtures that every ring of tests may ask for."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.support import figures
from tests.support.figures import figure
from tests.support.kafka_broker import kafka_port
from tests.support.mariadb import mariadb, mysql_url
from tests.support.parallel import Parallel, alone_last
from tests.support.servers import (
    database_url,
    fresh_database,
    postgres_server,
    postgres_url,
    servers_root,
    valkey_server,
    valkey_url,
)
from tests.support.shop import shop, shop_command, shop_database, shop_folder, shop_variables
from tests.support.surroundings import forget_surroundings

forget_surroundings(os.environ)

__all__ = [
    "database_url",
    "figure",
    "fresh_database",
    "kafka_port",
    "mariadb",
    "mysql_url",
    "postgres_server",
    "postgres_url",
    "servers_root",
    "shop",
    "shop_command",
    "shop_database",
    "shop_folder",
    "shop_variables",
    "valkey_server",
    "valkey_url",
]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Parallel(config))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    figures.collect(items)
    alone_last(items)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    figures.show(terminalreporter)
