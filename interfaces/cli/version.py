"""`testmesh version`."""

from __future__ import annotations

import click


@click.command()
def version() -> None:
    """Show the versions of TestMesh and Python."""
    import platform
    from importlib.metadata import version as installed

    click.echo(f"testmesh {installed('testmesh')} (Python {platform.python_version()})")
