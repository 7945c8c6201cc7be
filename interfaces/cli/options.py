"""Kinds of option values."""

from __future__ import annotations

from typing import Any

import click


class Duration(click.ParamType[float]):
    """`500ms`, `2s`, `1m30s`, or a number of seconds; gives seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        from domain.duration import parse_duration

        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()
