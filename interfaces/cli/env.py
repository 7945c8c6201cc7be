"""`testmesh env`: the variables that flows get, who gave each of them, and who was overridden."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.options import VARIABLE_OPTIONS, with_options_of
from interfaces.cli.running.run import run
from interfaces.cli.terminal import one_line, printable

if TYPE_CHECKING:
    from application.variables import Explanation, Layer, Variables
    from interfaces.cli.planning.plan import Planned, Planner

_format = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="What stdout carries.")
_show_secrets = click.option("--show-secrets", is_flag=True, help="Show passwords, tokens and the like as they are.")


@click.group()
def env() -> None:
    """Show variables. With a flow file as PATH, those of the flow itself count too."""


@with_options_of(run, VARIABLE_OPTIONS)
@env.command()
@click.argument("name")
@click.argument("path", required=False)
@_show_secrets
@_format
def explain(name: str, path: str | None, show_secrets: bool, form: str, **options: Any) -> None:
    """Say where the value of NAME comes from, and which other values it hides."""
    from interfaces.cli.tables import show_json

    found = _variables(path, options, [("process environment", os.environ)]).explain(name)
    rows = [(found.source, found.value), *found.overridden]
    shown = [(source, _shown(name, value, show_secrets)) for source, value in rows]
    if form == "json":
        others = [{"source": source, "value": value} for source, value in shown[1:]]
        show_json({"name": name, "value": shown[0][1], "source": shown[0][0], "overridden": others})
        return
    click.echo(printable(f"{name} = {_text(shown[0][1])}"))
    click.echo(printable(f"  given by {shown[0][0]}"))
    for source, value in shown[1:]:
        click.echo(printable(f"  instead of {_text(value)}, given by {source}"))


@with_options_of(run, VARIABLE_OPTIONS)
@env.command("list")
@click.argument("path", required=False)
@_show_secrets
@_format
def list_(path: str | None, show_secrets: bool, form: str, **options: Any) -> None:
    """List every variable with its value and its source."""
    from interfaces.cli.tables import show_json, show_table

    variables = _variables(path, options)
    rows = [_row(variables.explain(name), show_secrets) for name in sorted(variables.values)]
    if form == "json":
        show_json(rows)
    elif rows:
        texts = [{**row, "value": _text(row["value"])} for row in rows]
        show_table(texts, {"name": "NAME", "value": "VALUE", "source": "GIVEN BY", "overridden": "INSTEAD OF"})
    else:
        click.echo("no source gives a variable", err=True)


def _row(found: Explanation, show_secrets: bool) -> dict[str, Any]:
    value = _shown(found.name, found.value, show_secrets)
    return {
        "name": found.name,
        "value": value,
        "source": found.source,
        "overridden": [source for source, _ in found.overridden],
    }


def _variables(path: str | None, options: dict[str, Any], weakest: Sequence[Layer] = ()) -> Variables:
    """What the sources give, the strongest first."""
    from application.variables import by_precedence, resolve
    from interfaces.cli.planning.plan import Planner

    planner = Planner((path,) if path else (), options, strict=False, environ=None)
    layers = by_precedence(planner.sources())
    if path is not None and not Path(path).is_dir():
        layers = _layers_of_flow(planner)
    demo: list[Layer] = [("the demo shop", {planner.project.demo: "http://127.0.0.1:PORT"})] if planner.project.demo else []
    return resolve([*_labelled(layers, planner, options), *demo, *weakest])


def _layers_of_flow(planner: Planner) -> tuple[Layer, ...]:
    """Those of the project and of the flow: a row of data (the first) wins over all but --var, as when it runs."""
    from application.variables import by_precedence
    from domain.errors import Invalid

    files = planner.files()
    if len(files) != 1:
        raise Invalid("give one flow file", remedy="or none, for what is the same for all flows of the project")
    flows: list[Planned] = planner.read(files)
    planner.finish()
    definition = flows[0].definition
    given, *others = by_precedence({**planner.sources(definition, files[0]), "env": definition.env})
    first = next(iter(flows[0].cases), None) if flows[0].cases is not None else None
    rows = [(f"data, row {first.key}", first.values)] if first is not None else []
    return (given, *rows, *others, ("inputs", definition.inputs))


def _labelled(layers: Sequence[Layer], planner: Planner, options: dict[str, Any]) -> list[Layer]:
    name = options.get("environment") or planner.project.env
    return [(f"environment {name}" if source == "environment" else source, values) for source, values in layers]


def _shown(name: str, value: Any, show_secrets: bool) -> Any:
    """The value; masked when its name or form says that it is a secret."""
    from interfaces.cli.running.again import without_secrets

    return value if show_secrets else without_secrets(name, value)


def _text(value: Any) -> str:
    import orjson

    return one_line(value) if isinstance(value, str) else one_line(orjson.dumps(value, default=str).decode())
