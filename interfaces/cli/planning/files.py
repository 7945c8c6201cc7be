"""The files that a flow names, looked for before it runs: its variables and rows, and what its steps read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from application.actions.registry import ACTIONS
from application.documents.named import named_by_steps
from application.documents.scope import walk
from application.documents.source import Source
from application.flow_documents import FlowFile
from domain.definition import FlowDefinition
from domain.definition import Path as Place
from domain.errors import InvalidFlow, Problem, Refusal
from interfaces.cli.planning.plan import env_file_values, rows_of


def file_faults(definition: FlowDefinition, file: FlowFile, home: Path) -> Iterator[Problem]:
    """Errors about files without which the flow is not begun; warnings about those that a step will look for in vain, if no
    step before it writes them."""
    for number, path in enumerate(definition.env_file):
        try:
            env_file_values(path, file)
        except InvalidFlow as invalid:
            yield from invalid.problems
        except Refusal as refusal:
            yield _problem(definition, ("env_file", number), refusal.message, refusal.remedy)
    if definition.data is not None:
        try:
            rows_of(definition.data, file, home)
        except Refusal as refusal:
            yield _problem(definition, ("data",), refusal.message, refusal.remedy)
    written = set(_written(definition))
    for name in named_by_steps(definition, ACTIONS):
        if name.kind in ("file", "proto") and name.known and name.text not in written and not _is_there(home, name.text):
            said = f'There is no file "{name.text[:200]}" in the project'
            yield _problem(definition, name.path, said, f"paths count from {home}", "warning")


def _written(definition: FlowDefinition) -> Iterator[str]:
    """The files that steps of the flow write."""
    for steps in definition.lists():
        for step in walk(steps):
            for name, key in ACTIONS[step.action].keys.items():
                if key.writes and isinstance(step.config.get(name), str):
                    yield step.config[name]


def _is_there(home: Path, text: str) -> bool:
    try:
        return (home / text).is_file()
    except (OSError, ValueError):
        return False


def _problem(
    definition: FlowDefinition, place: Place, title: str, remedy: str | None, severity: Literal["error", "warning"] = "error"
) -> Problem:
    return Source(definition.source, definition.file).problem(definition.position(place), title, remedy, severity=severity)
