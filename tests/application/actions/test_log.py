"""The action `log`."""

from __future__ import annotations

from typing import Any

import pytest

from application.actions.log import LOG
from tests.support.action_context import Bench


async def test_a_message_goes_to_the_log_and_into_the_result() -> None:
    bench = Bench()

    assert await bench.run(LOG, {"message": "hello"}) == {"message": "hello", "level": "info", "data": None}
    await bench.run(LOG, {"message": "careful", "level": "warning"})
    assert bench.lines == [("info", "hello"), ("warning", "careful")]


@pytest.mark.parametrize(
    ("message", "text"),
    [(7, "7"), (1.0, "1"), (None, ""), (True, "true"), ({"a": [1, None]}, '{"a":[1,null]}'), (["ü"], '["ü"]')],
)
async def test_a_value_is_written_as_templates_print_it(message: Any, text: str) -> None:
    bench = Bench()
    await bench.run(LOG, {"message": message})

    assert bench.lines == [("info", text)]


async def test_a_level_that_came_from_a_template_is_checked() -> None:
    error = await Bench().error(LOG, {"message": "x", "level": "loud"})

    assert error.kind == "config"
    assert "debug, info, warning, warn, error" in error.message


async def test_a_value_too_large_to_print_is_an_error() -> None:
    error = await Bench().error(LOG, {"message": ["x" * 600_000] * 2})

    assert error.kind == "config"


async def test_warn_is_warning_and_data_stands_behind_the_message() -> None:
    bench = Bench()
    result = await bench.run(LOG, {"message": "slow", "level": "warn", "data": {"ms": 1200}})

    assert result == {"message": "slow", "level": "warning", "data": {"ms": 1200}}
    assert bench.lines == [("warning", 'slow {"ms":1200}')]
