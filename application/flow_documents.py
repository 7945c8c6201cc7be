"""The door to flow documents: reads, checks, normalises and finds flow files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from application.documents.build import build
from application.documents.check import Check
from application.documents.discovery import FlowFile, flow_files, looks_like_flow
from application.documents.grammar import FLOW
from application.documents.lint import credentials, lint
from application.documents.reader import Document, read
from application.documents.reads import names_read, teardown_reads
from application.documents.report import Report
from application.documents.schema import action_named, action_schema, json_schema
from application.documents.scope import Scope
from application.documents.shapes import describe, texts
from application.documents.sound import sound_parts
from application.documents.source import Source, did_you_mean
from application.engine.action import Action
from domain.definition import Data, FlowDefinition, Path, Position
from domain.errors import InvalidFlow, Problem
from domain.limits import LIMITS, Limits
from domain.masking import MASKED

__all__ = [
    "FlowFile",
    "action_named",
    "action_schema",
    "digest",
    "flow_files",
    "json_schema",
    "looks_like_flow",
    "names_read",
    "normalised",
    "place_in",
    "read_flow",
    "teardown_reads",
    "without_credentials",
]

_PERHAPS_CREDENTIALS = re.compile(r"passw|pwd|secret|token|key|authorization|://[^\s/:@]*:[^\s/@]+@", re.IGNORECASE)


def read_flow(
    text: str | bytes,
    *,
    file: str = "<flow>",
    actions: Mapping[str, Action],
    known_variables: Iterable[str] | None = None,
    strict: bool | None = None,
    columns: Callable[[Data], Iterable[str] | None] | None = None,
    env_names: Callable[[str], Iterable[str] | None] | None = None,
    limits: Limits = LIMITS,
) -> tuple[FlowDefinition, tuple[Problem, ...]]:
    """A flow's definition, and the warnings. Raises InvalidFlow with every error found, and nothing else.

    `actions` maps every name and alias to its action. `known_variables`, where given, is all that can come from outside
    the document: a name that is neither there nor defined in the document is then an error instead of a warning
    (unless `strict` is False: then more may come from elsewhere, and it stays a warning). `columns` gives the names in a
    file of rows, `env_names` those in a file of `env_file`; None when they cannot be known.
    """
    report = Report(read(text, file, limits))
    report.errors += report.document.problems
    if not _enter(report):
        report.finish()
    check = Check(report, actions, limits)
    check.flow(report.document.value)
    strict = known_variables is not None if strict is None else strict
    scope = Scope(report, actions, set(known_variables or ()), strict, columns, env_names)
    if report.errors:
        _names_of_the_rest(report, scope, check)
        report.finish()
    definition = build(report.document, actions, check.ids)
    scope.flow(definition)
    lint(report, definition)
    return definition, report.finish()


def _names_of_the_rest(report: Report, scope: Scope, check: Check) -> None:
    """Check the names in whatever is sound, so that one broken step does not hide a misspelled name in another."""
    rest = sound_parts(report.document, report.broken) if not report.document.problems else None
    if rest is None:
        return
    document = Document(report.document.source, rest.value, report.document.positions, texts=report.document.texts)
    scope.known |= rest.known | {f"step_{number}" for number in range(1, check.count + 1)}
    scope.anything = scope.anything or rest.anything
    scope.flow(build(document, scope.actions, check.ids))


def normalised(text: str | bytes, *, limits: Limits = LIMITS) -> bytes:
    """The content of a document as canonical JSON: comments, layout, key order and `graph` do not count.

    Raises InvalidFlow if it cannot be read.
    """
    report = Report(read(text, limits=limits))
    report.errors += report.document.problems
    report.finish()
    value: Any = report.document.value
    if isinstance(value, dict):
        value = value["flow"] if isinstance(value.get("flow"), dict) else value
        value = {key: item for key, item in value.items() if key != "graph"}
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def without_credentials(text: str) -> str:
    """The text of a flow with hard-coded credentials masked, for those who only look at it."""
    if not _PERHAPS_CREDENTIALS.search(text):
        return text
    try:
        value: Any = read(text).value
    except InvalidFlow:
        return text
    flow = value.get("flow") if isinstance(value, dict) else None
    if isinstance(flow, dict):
        for _, credential, _ in credentials(texts(flow, ())):
            if len(credential) >= LIMITS.secret_min_chars:
                text = text.replace(credential, MASKED)
    return text


def digest(text: str | bytes) -> str:
    """SHA-256 of the normalised content, in hex."""
    return hashlib.sha256(normalised(text)).hexdigest()


def place_in(definition: FlowDefinition, path: Path, text: str, offset: int = 0) -> Position:
    """Where character `offset` of the text at a path stands in the source, as nearly as the source shows it."""
    at = definition.position(path)
    return Source(definition.source, definition.file).find(at, text, offset) if path in definition.positions else at


def _enter(report: Report) -> bool:
    """Go below `flow:`. False, with an error, if there is no flow."""
    document: Document = report.document
    value = document.value
    if value is None:
        report.error((), "The document is empty", "begin it with: flow:")
    elif not isinstance(value, dict):
        report.error((), f"A flow document must be a mapping, not {describe(value)}", "begin it with: flow:")
    elif "flow" in value:
        return _below_flow(report, value)
    elif "name" in value or "steps" in value:
        report.warn((), 'The document has no "flow:" at its root', "put flow: before it and indent the rest")
        return True
    else:
        first = next(iter(value), "")
        remedy = did_you_mean(first, ["flow"]) if first else "begin it with: flow:"
        report.error((first,) if first else (), 'The document has no "flow:" at its root', remedy, key=bool(first))
    return False


def _below_flow(report: Report, value: dict[str, Any]) -> bool:
    for name in value:
        if name != "flow":
            remedy = "indent it below flow:" if name in FLOW.keys else "remove it"
            report.error((name,), f'"{name}" cannot stand beside "flow"', remedy, key=True)
    if not isinstance(value["flow"], dict):
        report.error(("flow",), f'"flow" must be a mapping, not {describe(value["flow"])}', "give it a name and steps")
        return False
    report.document = report.document.below_flow()
    return True
