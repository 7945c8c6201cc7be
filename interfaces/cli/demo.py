"""`testmesh demo`, and the demo shop beside the runs of a project whose testmesh.yaml asks for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.terminal import say

if TYPE_CHECKING:
    from application.variables import Project


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=4010, help="Port on 127.0.0.1; 0 for any that is free.")
def demo(port: int) -> None:
    """Serve the demo shop on 127.0.0.1 until Ctrl-C, to try requests by hand.

    Runs of a project whose testmesh.yaml has `demo` start one of their own.
    """
    import asyncio
    import sys

    from interfaces.cli.demo_shop import ENDPOINTS, serve

    def ready(url: str) -> None:
        lines = [f"  {endpoint:<20} {about}" for endpoint, about in ENDPOINTS.items()]
        say("\n".join([f"the shop listens at {url}; Ctrl-C ends it", *lines]), sys.stdout)

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(port, stop, ready)

    asyncio.run(until_stopped())


@contextmanager
def demo_beside(paths: Sequence[str], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The options of a run, with the shop's address while it listens, where the project asks for it and nobody gives
    another."""
    from interfaces.cli.project import find_project

    project, _ = find_project(paths)
    if not project.demo or _given(project, project.demo, options):
        yield dict(options)
        return
    if options.get("remote"):
        from domain.errors import Invalid

        raise Invalid(
            "testmesh.yaml asks for the demo shop, which listens for local runs alone",
            remedy=f"run it without --remote, or give the address of your own service: --var {project.demo}=...",
        )
    from interfaces.cli.demo_shop import in_background

    with in_background() as url:
        yield {**options, "demo": url}


def _given(project: Project, name: str, options: Mapping[str, Any]) -> bool:
    """Whether the address comes from elsewhere."""
    named = project.environments.get(options.get("environment") or project.env or "", {})
    assigned = any(text.partition("=")[0].strip() == name for text in options.get("variables") or ())
    return assigned or name in named or f"TESTMESH_VAR_{name}" in os.environ
