"""Options of `testmesh schedules create` and `change`: what a schedule says, and which flows it selects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import click

OVERLAPS, MISSED = ("skip", "queue", "cancel_older"), ("skip", "run_once", "run_all")
_SELECTING = ("suite", "tags", "folder", "project", "matrix", "parallel", "timeout", "fail_fast")
_PARAMETERS = {"tags": "chosen"}
"""Of fields of a selection whose name a field of the schedule itself has."""


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a schedule says; `plan_of` makes the fields of it."""
    for option in reversed(
        (
            click.option("--zone", "time_zone", help="The time zone, such as Europe/Berlin; UTC unless given."),
            click.option("--jitter", help="Let each tick be late by a part of this that it alone has: 30s."),
            click.option("--overlap", type=click.Choice(OVERLAPS), help="While the execution before has not ended; skip."),
            click.option("--missed", type=click.Choice(MISSED), help="Ticks at which no scheduler was there; skip."),
            click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the flow."),
            click.option("--tag", "tags", multiple=True, help="A tag of the executions; the flow's unless given."),
        )
    ):
        command = option(command)
    return command


def plan_of(options: dict[str, Any]) -> dict[str, Any]:
    """What was given, as the API has it; what is not given is not sent."""
    from application.variables import parse_assignment

    given = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items() if value}
    if "variables" in given:
        given["variables"] = dict(map(parse_assignment, given["variables"]))
    return given


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which flows a suite run has. The command gets as `selecting` what was given, by the fields of a selection."""

    @wraps(command)
    def gathered(**options: Any) -> Any:
        given = {field: options.pop(_PARAMETERS.get(field, field)) for field in _SELECTING}
        return command(selecting={field: value for field, value in given.items() if value not in (None, ())}, **options)

    for option in reversed(
        (
            click.option("--suite", help="Instead of FLOW: the flows of this suite, as one suite run."),
            click.option("--tags", "chosen", metavar="EXPRESSION", help="Instead of FLOW: flows with these tags."),
            click.option("--folder", help="Instead of FLOW: flows below this folder."),
            click.option("--project", help="Only flows of this project."),
            click.option("--matrix", multiple=True, metavar="NAME=A,B", help="Run all with each value; may be repeated."),
            click.option("-j", "--jobs", "parallel", type=click.IntRange(1), help="How many cases run at once."),
            click.option("--timeout", help="How long a suite run may take as a whole, such as 30m."),
            click.option("--fail-fast/--no-fail-fast", default=None, help="A case that does not pass ends the suite run."),
        )
    ):
        gathered = option(gathered)
    return gathered


def selection_of(before: Mapping[str, Any], selecting: Mapping[str, Any]) -> dict[str, Any]:
    """The selection before with what was given; an empty value takes its part away."""
    from interfaces.cli.running.suite_request import parse_matrix

    wanted = {**before, **selecting}
    if "matrix" in selecting:
        wanted["matrix"] = parse_matrix([text for text in selecting["matrix"] if text])
    return {field: value for field, value in wanted.items() if value}
