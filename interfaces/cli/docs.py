"""`testmesh docs`: the reference of actions, those of installed packages included."""

from __future__ import annotations

import click

from interfaces.cli.terminal import printable


@click.command()
@click.argument("action", required=False)
def docs(action: str | None) -> None:
    """Print the reference of an action as Markdown, by name or alias. Without ACTION: every action with one line."""
    from application.actions.registry import ACTIONS
    from interfaces.cli.schema import every_action

    if action is None:
        found = {one.name: one.description for one in every_action().values()}
        width = max(map(len, found))
        for name, description in found.items():
            click.echo(printable(f"{name:<{width}}  {description}"))
        return
    from pathlib import Path

    from application.flow_documents import action_named
    from interfaces.reference.actions import page_of

    click.echo(printable(page_of(action_named(action, ACTIONS), Path())), nl=False)
