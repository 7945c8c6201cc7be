"""`testmesh export`: flows as curl commands and as a Postman collection."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.terminal import one_line, printable

if TYPE_CHECKING:
    from application.flow_documents import FlowFile
    from domain.definition import FlowDefinition


@click.group()
def export() -> None:
    """Print flows as what other tools read."""


@export.command()
@click.argument("flow")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="The value of a variable; repeatable.")
def curl(flow: str, variables: tuple[str, ...]) -> int:
    """Print curl commands for the HTTP steps of FLOW, or of the step in FLOW:LINE.

    Variables come from --var and from the flow's env; all others become shell variables of the same name.
    """
    from application.exporting.curl import curl_command, curl_resolver
    from application.exporting.requests import http_steps, read_request
    from application.variables import parse_assignment
    from domain.errors import Invalid

    files = _files((flow,))
    if len(files) != 1:
        raise Invalid(f"{flow} means {len(files)} flows; export one at a time")
    definition = _definition(files[0])
    resolver = curl_resolver({**definition.env, **dict(parse_assignment(text) for text in variables)})
    steps, others = http_steps(definition, files[0].line)
    for place, step in enumerate(steps):
        print(("\n" if place else "") + printable(curl_command(read_request(step, resolver))))
    _tell(others, "step", "is no HTTP request", "are no HTTP requests")
    return ExitCode.PASSED if steps else ExitCode.NOTHING


@export.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="Where to write. Default: stdout.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def postman(paths: tuple[str, ...], output: str | None, force: bool) -> int:
    """Print a Postman collection (v2.1) of flows: files, folders, globs or - (standard input)."""
    import json

    from application.exporting.postman import postman_collection

    definitions = [_definition(file) for file in _files(paths)]
    if not definitions:
        print("no flow was selected", file=sys.stderr)
        return ExitCode.NOTHING
    collection, left = postman_collection(definitions)
    text = json.dumps(collection, ensure_ascii=False, indent=2) + "\n"
    if output is None or output == "-":
        print(text, end="")
    else:
        _put(Path(output), text, force)
    for what, count in left.items():
        if count:
            print(f"not translated: {count} {one_line(what)}", file=sys.stderr)
    return ExitCode.PASSED


def _files(paths: tuple[str, ...]) -> tuple[FlowFile, ...]:
    from application.flow_documents import flow_files

    return flow_files(paths, Path.cwd())


def _definition(file: FlowFile) -> FlowDefinition:
    from application.actions.registry import ACTIONS
    from application.flow_documents import read_flow
    from domain.errors import NotFound

    try:
        content = file.read()
    except OSError as error:
        raise NotFound(f"{file.file} cannot be read: {error.strerror}") from None
    return read_flow(content, file=file.file, actions=ACTIONS)[0]


def _put(path: Path, text: str, force: bool) -> None:
    from domain.errors import Conflict, Invalid

    if path.exists() and not force:
        raise Conflict(f"{path} exists already", remedy="use --force to replace it")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Invalid(f"{path} cannot be written: {error.strerror}") from None


def _tell(count: int, noun: str, one: str, many: str) -> None:
    if count:
        print(f"not translated: {count} {noun}{'' if count == 1 else 's'} that {one if count == 1 else many}", file=sys.stderr)
