"""`testmesh validate`: every problem of flow files, without running anything."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.running import garbage
from interfaces.cli.terminal import printable

if TYPE_CHECKING:
    from domain.errors import Problem


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How problems are shown.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("-e", "--env", "environment", help="An environment of testmesh.yaml whose names are known.")
def validate(paths: tuple[str, ...], form: str, strict: bool, environment: str | None) -> int:
    """Check flow files, folders, globs or - (standard input). Without PATHS: those of testmesh.yaml, or this folder."""
    garbage.spare()
    from application.actions.registry import ACTIONS
    from application.flow_documents import read_flow
    from domain.errors import InvalidFlow, Problem
    from interfaces.cli.planning.files import file_faults
    from interfaces.cli.planning.plan import known_names, names_of_env_file
    from interfaces.cli.planning.references import ProjectFlows
    from interfaces.cli.project import find_project, meant_files

    problems: list[Problem] = []
    known = known_names(paths, {"environment": environment})
    files = meant_files(paths)
    home = find_project(paths)[1]
    project = ProjectFlows(home, files)
    for file in files:
        try:
            definition, doubts = read_flow(
                file.read(),
                file=file.file,
                actions=ACTIONS,
                known_variables=known,
                strict=False,
                env_names=partial(names_of_env_file, file=file),
            )
            found = (*doubts, *project.faults(definition), *file_faults(definition, file, home))
            problems.extend(sorted(found, key=lambda problem: problem.line))
        except InvalidFlow as invalid:
            found = (*invalid.problems, *invalid.warnings)
            problems.extend(sorted(found, key=lambda problem: problem.line))
        except OSError as error:
            problems.append(Problem(f"The file cannot be read: {error.strerror}", file.file))
    _show(problems, form)
    errors = sum(problem.severity == "error" for problem in problems)
    if form == "text":
        warnings = len(problems) - errors
        print(f"{_count(len(files), 'flow file')}, {_count(errors, 'error')}, {_count(warnings, 'warning')}", file=sys.stderr)
    if errors or (strict and problems):
        return ExitCode.USAGE
    return ExitCode.PASSED if files else ExitCode.NOTHING


def _show(problems: list[Problem], form: str) -> None:
    if form == "json":
        from dataclasses import asdict

        import orjson

        click.echo(orjson.dumps([asdict(problem) for problem in problems]).decode())
        return
    for problem in problems:
        click.echo(printable(str(problem)))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
