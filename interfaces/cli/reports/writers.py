"""Report files: the table of their kinds, and how one is written."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from domain.errors import Invalid, Unavailable
from interfaces.cli.reports.model import Collected

Writer = Callable[[Collected, Mapping[str, str]], Iterator[bytes]]

KINDS: Mapping[str, tuple[str, str]] = {
    "junit": ("junit:junit", ".xml"),
    "json": ("records:as_json", ".json"),
    "jsonl": ("records:jsonl", ".jsonl"),
    "html": ("html:html", ".html"),
    "markdown": ("markdown:markdown", ".md"),
    "tap": ("tap:tap", ".tap"),
    "github": ("github:github", ""),
    "gitlab": ("gitlab:gitlab", ""),
}
"""Of each kind, module and function below interfaces.cli.reports, and the suffix that tells it. Memory stays flat for all;
html and markdown leave out what is too much, and say so."""
STDOUT = Path("-")


def parse_report(text: str) -> tuple[str, Path]:
    """`KIND=PATH`, a path whose suffix tells the kind, or `github` alone; the path `-` is standard output."""
    kind, equals, path = text.partition("=")
    if text == "github":
        path = "-"
    elif not equals:
        kind, path = {suffix: kind for kind, (_, suffix) in KINDS.items() if suffix}.get(Path(text).suffix, ""), text
    if kind not in KINDS or not path:
        raise Invalid(f"{text!r} is not KIND=PATH", remedy=f"kinds: {', '.join(KINDS)}; for example --report junit=out.xml")
    return kind, Path(path)


def writer(kind: str) -> Writer:
    """The function that gives a report of this kind, part by part."""
    module, function = KINDS[kind][0].split(":")
    found: Writer = getattr(importlib.import_module(f"interfaces.cli.reports.{module}"), function)
    return found


def write_report(kind: str, path: Path, executions: Collected, sources: Mapping[str, str]) -> None:
    """Write one report; its folder is made. `sources` holds flow texts by file name."""
    if path == STDOUT:
        for part in writer(kind)(executions, sources):
            sys.stdout.write(part.decode("utf-8", "replace"))
        return
    write_parts(path, writer(kind)(executions, sources), "report")


def write_parts(path: Path, parts: Iterator[bytes], what: str) -> None:
    """Write a file from its parts, in place of what was there once all of it is written."""
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.writelines(parts)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Unavailable(f"the {what} {path} cannot be written: {error.strerror}") from error
