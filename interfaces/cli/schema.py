"""`testmesh schema`: what editors complete and check flow files with."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.terminal import printable

if TYPE_CHECKING:
    from application.engine.action import Action


@click.command()
@click.option("--action", metavar="NAME", help="The config of this action alone.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write it to this file instead of stdout.")
def schema(action: str | None, output: str | None) -> None:
    """Print the JSON Schema (2020-12) of flow files.

    Editors with a YAML language server use it when the first line of a flow is
    `# yaml-language-server: $schema=PATH`.
    """
    from application.actions.registry import ACTIONS
    from application.flow_documents import action_schema

    text = as_text(schema_of_all() if action is None else action_schema(action, ACTIONS))
    if output is None:
        click.echo(text, nl=False)
    else:
        write(Path(output), text)


def schema_of_all() -> object:
    """The schema of flows with every action that is installed."""
    from application.flow_documents import json_schema

    return json_schema(every_action())


def every_action() -> Mapping[str, Action]:
    """The built-in actions and those of installed packages; of such as cannot be used, what is wrong goes to stderr."""
    from application.actions.registry import ACTIONS

    actions, wrong = ACTIONS.usable()
    for fault in wrong:
        print(printable(f"warning: {fault.message}; {fault.remedy}"), file=sys.stderr)
    return actions


def as_text(found: object) -> str:
    """A schema as indented JSON with a line end."""
    import json

    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file, its folder included. Unavailable when that is not possible."""
    from domain.errors import Unavailable

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
