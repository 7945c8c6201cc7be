"""`testmesh import`: flow files from what other tools wrote."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.terminal import one_line, printable

if TYPE_CHECKING:
    from application.importing.model import Imported

_STDIN = "-"
_SHOWN = 20
_F = TypeVar("_F", bound=Callable[..., Any])


def _common(default: str) -> Callable[[_F], _F]:
    """The options that every kind of import has."""

    def add(command: _F) -> _F:
        for option in (
            click.option("--keep-secrets", is_flag=True, help="Write credentials into the flow in the clear."),
            click.option("--force", is_flag=True, help="Replace files that exist."),
            click.option("-o", "--output", help=f"A file, a folder, or - for stdout. Default: {default}."),
        ):
            command = option(command)
        return command

    return add


@click.group(name="import")
def import_() -> None:
    """Make flow files of curl commands, HAR files, OpenAPI descriptions and Postman collections.

    Credentials become variables, to be given with --var or TESTMESH_VAR_<NAME>.
    """


@import_.command(context_settings={"ignore_unknown_options": True})
@click.argument("source", nargs=-1, type=click.UNPROCESSED)
@_common("stdout")
def curl(source: tuple[str, ...], output: str | None, force: bool, keep_secrets: bool) -> int:
    """Make a flow of curl commands: a file, - (stdin), or the command itself, in quotes or after --."""
    from application.importing.curl import read_curl

    found = read_curl(_commands(source), keep_secrets=keep_secrets)
    return _write(found, output or _STDIN, force)


@import_.command()
@click.argument("file")
@click.option("--url-contains", multiple=True, metavar="TEXT", help="Only requests whose URL contains this; repeatable.")
@click.option("--method", multiple=True, metavar="METHOD", help="Only requests of this method; repeatable.")
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only this resource type (xhr, fetch, document, ...), or all."
)
@click.option("--all-headers", is_flag=True, help="Keep the headers that browsers add by themselves.")
@_common("the working folder")
def har(
    file: str,
    url_contains: tuple[str, ...],
    method: tuple[str, ...],
    types: tuple[str, ...],
    all_headers: bool,
    output: str | None,
    force: bool,
    keep_secrets: bool,
) -> int:
    """Make a flow of the API calls in a HAR file. Values that later requests take from earlier answers become outputs."""
    from application.importing.har import HarFilter, read_har

    methods, kinds = frozenset(one.upper() for one in method), frozenset(one.lower() for one in types)
    wanted = HarFilter(url_contains, methods, kinds, all_headers)
    found = read_har(_read(file), file, wanted, keep_secrets=keep_secrets)
    return _write(found, output or ".", force)


@import_.command()
@click.argument("file")
@click.option(
    "--per", type=click.Choice(["tag", "operation", "file"]), default="tag", help="What becomes a flow. Default: tag."
)
@_common("the working folder")
def openapi(file: str, per: Any, output: str | None, force: bool, keep_secrets: bool) -> int:
    """Make flows of an OpenAPI 3.0 or 3.1 description, JSON or YAML."""
    from application.importing.openapi import read_openapi

    found = read_openapi(_read(file), file, per=per, keep_secrets=keep_secrets)
    return _write(found, output or ".", force)


@import_.command()
@click.argument("file")
@click.option("--one-file", is_flag=True, help="One flow for all folders.")
@click.option("--environment", metavar="FILE", help="An exported Postman environment with values of variables.")
@_common("the working folder")
def postman(file: str, one_file: bool, environment: str | None, output: str | None, force: bool, keep_secrets: bool) -> int:
    """Make flows of a Postman collection (v2.1), a file for each folder."""
    from application.importing.postman import read_postman

    values = _read(environment) if environment else None
    found = read_postman(_read(file), file, one_file=one_file, environment=values, keep_secrets=keep_secrets)
    return _write(found, output or ".", force)


def _commands(source: tuple[str, ...]) -> str:
    """The text of curl commands; words that the shell has split already are quoted again."""
    import os.path
    import re
    import shlex

    if not source or source == (_STDIN,):
        return _decoded(_read(_STDIN), "standard input")
    if len(source) > 1:
        return shlex.join(source)
    if re.search(r"\bcurl(?:\.exe)?\s", source[0]) and not os.path.exists(source[0]):
        return source[0]
    return _decoded(_read(source[0]), source[0])


def _decoded(data: bytes, what: str) -> str:
    from domain.errors import Invalid

    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(f"{what} is not UTF-8") from None


def _read(file: str) -> bytes:
    """The content of a file or of standard input, no more of it than one byte beyond the limit."""
    from domain.errors import NotFound
    from domain.limits import LIMITS

    limit = LIMITS.import_bytes + 1
    if file == _STDIN:
        return sys.stdin.buffer.read(limit)
    try:
        with Path(file).open("rb") as stream:
            return stream.read(limit)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise NotFound(f'"{file}" cannot be read: {reason}') from None


def _write(found: Imported, output: str, force: bool) -> int:
    """Write all flows, or none when a file is in the way; the summary goes to stderr."""
    from application.importing.files import write_all

    if output == _STDIN:
        from application.importing.writing import write_flow
        from domain.errors import Invalid

        if len(found.drafts) > 1:
            raise Invalid(f"there are {len(found.drafts)} flows; stdout takes one", remedy="give a folder with -o")
        print(write_flow(found.drafts[0]), end="")
        written = []
    else:
        written = write_all(found, Path(output), force)
    _summary(found, written)
    return ExitCode.PASSED if written or output == _STDIN else ExitCode.USAGE


def _summary(found: Imported, written: list[tuple[Path, int]]) -> None:
    def say(text: str) -> None:
        print(printable(text), file=sys.stderr)

    for path, steps in written[:_SHOWN]:
        say(f"wrote {path}: {steps} step{'s' if steps != 1 else ''}")
    if len(written) > _SHOWN:
        say(f"... and {len(written) - _SHOWN} more files, {sum(steps for _, steps in written)} steps in all")
    for text in found.warnings:
        say(f"note: {one_line(text)}")
    for what, count in found.left_out.items():
        if count:
            say(f"not translated: {count} {one_line(what)}")
    names = list(dict.fromkeys(name for draft in found.drafts for name in draft.given))
    if names:
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        say(f"give before running, with --var NAME=VALUE or TESTMESH_VAR_<NAME>: {shown}")
