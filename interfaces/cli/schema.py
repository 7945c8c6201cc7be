"""`testmesh schema`: what editors complete and check flow files with."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--action", metavar="NAME", help="The config of this action alone.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write it to this file instead of stdout.")
def schema(action: str | None, output: str | None) -> None:
    """Print the JSON Schema (2020-12) of flow files.

    Editors with a YAML language server use it when the first line of a flow is
    `# yaml-language-server: $schema=PATH`.
    """
    from application.actions.registry import ACTIONS
    from application.flow_documents import action_schema, json_schema

    text = as_text(json_schema(ACTIONS) if action is None else action_schema(action, ACTIONS))
    if output is None:
        click.echo(text, nl=False)
    else:
        write(Path(output), text)


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
