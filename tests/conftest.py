"""Fixtures that every ring of tests may ask for."""

from __future__ import annotations

import os

from tests.support.kafka_broker import kafka_port
from tests.support.mariadb import mariadb, mysql_url
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
