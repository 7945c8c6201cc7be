"""Warnings: what is allowed in a flow and yet probably a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from application.documents.language import is_template
from application.documents.reads import names_read
from application.documents.report import Report
from application.documents.shapes import texts
from domain.definition import FlowDefinition, Path

_SECRET_KEY = re.compile(
    r"(?:^|[_.-])(password|passwd|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key)$|^authorization$|[a-z](Password|Secret|Token|ApiKey)$",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@")
_SKIPPED = frozenset(
    {"output", "outputs", "inputs", "assert", "assert_any", "assert_none", "graph", "description", "secret_outputs"}
)


def lint(report: Report, definition: FlowDefinition) -> None:
    """Warn of hard-coded credentials, unused variables and ignored blocks."""
    flow = report.document.value
    found = texts(flow, ())
    for path, _, what in credentials(found):
        _warn(report, path, what)
    _unused(report, flow, found, definition)
    if isinstance(flow.get("name"), str) and is_template(flow["name"]):
        remedy = "name steps so; rows of data are told apart by their key"
        report.warn(("name",), "The name of a flow is not resolved: others call it so before it runs", remedy)
    if "graph" in flow:
        report.warn(("graph",), '"graph" is ignored', "it is the picture of an editor and changes nothing", key=True)


def credentials(found: list[tuple[Path, str]]) -> Iterator[tuple[Path, str, str]]:
    """Hard-coded credentials among the texts of a flow: where, which text, and what it holds."""
    for path, text in found:
        if _names_a_place(path) or not _SKIPPED.isdisjoint(path) or not text.strip():
            continue
        url = _URL_PASSWORD.search(text) if "://" in text else None
        if url and not is_template(url.group(1)):
            yield path, url.group(1), "a password in a URL"
        elif _SECRET_KEY.search(str(path[-1])) and not is_template(text):
            yield path, text, "a credential in the clear"


def _warn(report: Report, path: Path, what: str) -> None:
    name = str(path[-1])
    at = report.place(path)
    key = report.place(path, key=True)
    start = key.column - 1 if key.line == at.line else at.column - 1
    shown = " " * start + report.document.source.line(at.line)[start : at.column - 1] + "***"
    report.warn(path, f'"{name}" holds {what}', f'take it from a variable: "${{{_variable(name)}}}"', at=at, shown=shown)


def _names_a_place(path: Path) -> bool:
    """Whether the text is a word of the language, such as a step's id, and no value."""
    return "config" not in path and path[:1] != ("env",)


def _variable(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").upper() or "SECRET"


def _unused(report: Report, flow: dict[str, Any], found: list[tuple[Path, str]], definition: FlowDefinition) -> None:
    """Variables of `env` whose name stands nowhere else, nor for a key that is left out; a flow that calls flows may hand all
    of them on."""
    if not flow.get("env") or any(path[-1] == "action" and text == "run_flow" for path, text in found):
        return
    read = frozenset().union(*map(names_read, definition.lists()))
    for name in flow["env"]:
        word = re.compile(rf"\b{re.escape(name)}\b")
        if name not in read and not any(path != ("env", name) and word.search(text) for path, text in found):
            report.warn(("env", name), f'Nothing reads the variable "{name}"', "remove it, or use it", key=True)
