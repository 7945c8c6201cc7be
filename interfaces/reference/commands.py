"""The reference of the command line: every verb with its arguments, options, defaults and environment variables."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.main import VERBS, testmesh
from interfaces.reference.markdown import block, code, join, prose, table

_INTRODUCTION = """\
Every verb of the program `testmesh`, as `testmesh VERB --help` shows it. An environment variable stands for its option where
the option is not given. For an option that may be repeated it holds several values, divided by blanks (files: by colons)."""
_CODES = {
    ExitCode.PASSED: "everything passed, on a retry too",
    ExitCode.FAILED: "a flow failed",
    ExitCode.USAGE: "the command line or a flow is not valid; nothing was run",
    ExitCode.ERROR: "a flow could not be run to its end: a target or server is not there, a time-out, a worker lost",
    ExitCode.NOTHING: "nothing was selected",
    ExitCode.GATE: "reserved: a gate was not met",
    ExitCode.TIME_LIMIT: "the time limit of the run",
    ExitCode.INTERRUPTED: "interrupted",
}


def command_page() -> str:
    """The whole reference."""
    index = table(
        ("verb", "what it does"), [(f"[{code(f'testmesh {name}')}](#testmesh-{name})", VERBS[name][1]) for name in VERBS]
    )
    codes = table(("code", "meaning"), [(str(int(one)), text) for one, text in _CODES.items()])
    commands = (part for path, command in all_commands() for part in _command(path, command))
    return join(["# Command line", _INTRODUCTION, index, "## Exit codes", codes, "Of several, the worst wins.", *commands])


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it, groups before what is in them."""
    context = click.Context(testmesh, info_name="testmesh")
    for name in testmesh.list_commands(context):
        found = testmesh.get_command(context, name)
        if found is not None:
            yield from _below(f"testmesh {name}", found)


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _below(f"{path} {name}", inner)


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"{'#' * (path.count(' ') + 1)} {path}"
    yield prose(inspect.cleandoc(command.help or "").replace("\b\n", ""))
    yield block(" ".join([path, *command.collect_usage_pieces(context)]), "text")
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    yield table(("option", "value", "default", "environment", "meaning"), [_option(one, context) for one in options])


def _option(option: click.Option, context: click.Context) -> tuple[str, str, str, str, str]:
    spelled = ", ".join(map(code, (*option.opts, *option.secondary_opts)))
    variable = option.envvar if isinstance(option.envvar, str) else ", ".join(option.envvar or ())
    return (
        spelled,
        _value(option, context),
        _default(option, context),
        code(variable) if variable else "",
        prose(option.help or ""),
    )


def _value(option: click.Option, context: click.Context) -> str:
    if option.is_flag or option.count:
        return ""
    metavar = option.make_metavar(context)
    return code(metavar) + (", repeatable" if option.multiple else "")


def _default(option: click.Option, context: click.Context) -> str:
    value: Any = option.get_default(context, call=False)
    if option.is_flag and option.secondary_opts:
        return code((option.opts if value else option.secondary_opts)[-1])
    if option.is_flag or callable(value) or not isinstance(value, str | int | float):
        return ""
    return code(str(value)) if value != "" else ""
