"""The example shop as its own process for a module of tests, on the real PostgreSQL and Valkey of the session: other modules
empty that Valkey, and two shops at once would share a stream."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.tied import tied

SHOP = Path(__file__).parents[2] / "examples" / "shop"
STOP_SECONDS = 10.0
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def shop_folder() -> Path:
    """Where the shop is."""
    return SHOP


@pytest.fixture(scope="module")
def shop_database(fresh_database: Callable[[], str]) -> str:
    """The shop's own database."""
    return fresh_database()


@pytest.fixture(scope="module")
def shop_command(shop_database: str, valkey_url: str) -> list[str]:
    """The command line of the shop, but for its ports; to be called in its folder."""
    return [sys.executable, "-m", "services", "--database-url", shop_database, "--redis-url", valkey_url]


@pytest.fixture(scope="module")
def shop(shop_command: list[str]) -> Iterator[dict[str, str]]:
    """URLs of the running services by name."""
    process = subprocess.Popen(tied(*shop_command, "--port-base", "0"), cwd=SHOP, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield urls_in(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def shop_variables(shop: dict[str, str], shop_database: str, valkey_url: str) -> dict[str, str]:
    """The variables that the flows read."""
    urls = {f"{name}_url": url for name, url in shop.items()}
    return {**urls, "shop_database_url": shop_database, "shop_redis_url": valkey_url}


def urls_in(line: str) -> dict[str, str]:
    """The services' URLs in the line that the shop prints when it is ready."""
    ready, urls = line.split()[:2], line.split()[2:]
    assert ready == ["shop", "ready"], line
    return dict(part.split("=", 1) for part in urls)
