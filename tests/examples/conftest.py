"""All tests here need the example shop."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here need real servers."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("servers")
