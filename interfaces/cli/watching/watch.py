"""`testmesh watch`: runs flows, and again what changes whenever it changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from interfaces.cli.options import with_options_of
from interfaces.cli.running.run import run

_REMOTE = {"remote", "follow", "idempotency_key", "timeout", "url", "paths", "last_failed"}
_PASSED_ON = {option.name for option in run.params} - _REMOTE


@with_options_of(run, _PASSED_ON)
@click.command()
@click.argument("paths", nargs=-1)
def watch(paths: tuple[str, ...], **options: Any) -> int:
    """Run flows here, then watch them, the flows that they need and call, and the files that they name. What changes is run
    again, and so is what depends on it. Takes the options of `testmesh run`.

    At a terminal: Enter runs all, f only what failed, q ends. The exit code is that of the last run.
    """
    import asyncio

    from application.flow_documents import flow_files
    from domain.errors import Invalid
    from interfaces.cli.watching.rounds import Watching

    if "-" in paths:
        raise Invalid("standard input does not change, so it cannot be watched", remedy="give files or folders")
    flow_files(paths, Path.cwd())  # a path that is not there is said at once
    words = list(spelled(options))
    return asyncio.run(Watching(paths, words, options, sys.stdin.isatty()).watch())


def spelled(options: Mapping[str, Any]) -> Iterator[str]:
    """The words of a command line that give `testmesh run` these options."""
    for option in run.params:
        value = options.get(option.name or "")
        if not isinstance(option, click.Option) or value in (None, False, ()) or value == option.default:
            continue
        name = max(option.opts, key=len)
        if option.is_flag:
            yield name
        else:
            for one in value if option.multiple else (value,):
                yield from (name, str(one)) if len(name) == 2 else (f"{name}={one}",)
