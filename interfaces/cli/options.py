"""Kinds of option values, and options that come from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import Any

import click

_OPTION = "TESTMESH_OPT_"


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


def from_environment(command: click.Command) -> click.Command:
    """Let every option be given as TESTMESH_OPT_<OPTION> too, by the name that people type."""
    for option in command.params:
        if isinstance(option, click.Option):
            spelled = max(option.opts, key=len).lstrip("-")
            option.envvar = f"TESTMESH_OPT_{spelled.upper().replace('-', '_')}"
    return command


def with_options_of(other: click.Command, names: Collection[str]) -> Callable[[click.Command], click.Command]:
    """Give a command these options of another: the same spellings, values, help and environment variables."""

    def add(command: click.Command) -> click.Command:
        command.params += [option for option in other.params if option.name in names]
        return command

    return add


VARIABLE_OPTIONS = ("variables", "env_files", "environment", "var_files")
"""The options of `testmesh run` that give flows variables."""


def unread_names(command: click.Command) -> list[str]:
    """Warnings about TESTMESH_* names of this process that nothing reads, the command's options included."""
    from domain.near_words import nearest
    from interfaces.settings import unknown_names

    known = [str(option.envvar) for option in command.params if option.envvar]
    warnings = [f"warning: {text}" for text in unknown_names(os.environ)]
    for name in sorted(os.environ):
        if name.startswith(_OPTION) and name not in known:
            near = nearest(name.removeprefix(_OPTION), [one.removeprefix(_OPTION) for one in known])
            hint = f"; did you mean {_OPTION}{near}?" if near else ""
            warnings.append(f"warning: {name} is not an option of `testmesh {command.name}`{hint}")
    return warnings
