"""`testmesh fmt`: flow files in canonical form, their meaning untouched."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

import click

from interfaces.cli.errors import ExitCode, worst
from interfaces.cli.terminal import printable

if TYPE_CHECKING:
    from pathlib import Path

    from application.flow_documents import FlowFile


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 and name the files that would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
def fmt(paths: tuple[str, ...], check: bool, diff: bool) -> int:
    """Format flow files, folders, globs or - (standard input to standard output).

    Without PATHS: those of testmesh.yaml, or this folder. Order of keys and indentation become canonical; comments, quotes and
    blank lines stay.
    """
    from interfaces.cli.project import meant_files

    files = meant_files(paths)
    codes = [_format(file, check, diff) for file in files]
    changed = codes.count(ExitCode.FAILED)
    refused = codes.count(ExitCode.USAGE)
    what = "would change" if check or diff else "formatted"
    told = f"{changed} {what}, {len(files) - changed - refused} left unchanged"
    print(told + (f", {refused} refused" if refused else ""), file=sys.stderr)
    if not files:
        return ExitCode.NOTHING
    counted = [code if code != ExitCode.FAILED or check else ExitCode.PASSED for code in codes]
    return worst(counted)


def _format(file: FlowFile, check: bool, diff: bool) -> ExitCode:
    """Format one file: FAILED when it changes, USAGE when it cannot be read or formatted, which is shown."""
    from application.documents.formatting import format_flow
    from domain.errors import Invalid, InvalidFlow

    try:
        content = file.read()
        made = format_flow(content, file=file.file)
    except InvalidFlow as invalid:
        print(printable(invalid.message))
        return ExitCode.USAGE
    except Invalid as error:
        print(printable(f"error: {error.message}"), file=sys.stderr)
        return ExitCode.USAGE
    except OSError as error:
        print(printable(f"{file.file}: The file cannot be read: {error.strerror}"))
        return ExitCode.USAGE
    return _settle(file, content, made, check, diff)


def _settle(file: FlowFile, content: bytes, made: str, check: bool, diff: bool) -> ExitCode:
    """Write what was made, or tell what would change."""
    changed = made.encode() != content
    if diff and changed:
        before = content.decode().splitlines(keepends=True)
        lines = difflib.unified_diff(before, made.splitlines(keepends=True), file.file, file.file)
        print(printable("".join(line if line.endswith("\n") else line + "\n" for line in lines)), end="")
    elif check and changed:
        print(printable(file.file))
    elif file.path is None and not check and not diff:
        print(made, end="")
    elif changed and file.path is not None and not check and not diff:
        _replace(file.path, made)
    return ExitCode.FAILED if changed else ExitCode.PASSED


def _replace(path: Path, text: str) -> None:
    """Write beside the file and put it in its place, its mode kept; a link's target is written, not the link."""
    import os

    target = path.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    beside.write_bytes(text.encode())
    beside.chmod(target.stat().st_mode & 0o7777)
    beside.replace(target)
