"""What a command line wants run: flow files read and checked, filtered, with their variables resolved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from application.actions.registry import ACTIONS
from application.flow_documents import FlowFile, flow_files, read_flow
from application.variables import (
    Project,
    by_precedence,
    parse_assignment,
    parse_env_file,
    process_variables,
    read_project,
    resolve,
)
from domain.definition import FlowDefinition
from domain.errors import Invalid, InvalidFlow, NotFound, Problem

PROJECT_FILE = "testmesh.yaml"


@dataclass(frozen=True, slots=True)
class Planned:
    """A flow to run: its definition, exact text, and variables."""

    definition: FlowDefinition
    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)


def plan(
    paths: Sequence[str], options: Mapping[str, Any], *, strict: bool = False, environ: Mapping[str, str] | None = None
) -> tuple[list[Planned], list[Problem]]:
    """The flows to run and the warnings. Every problem of every file is raised at once. With `strict`, a name that no
    source gives (`environ`, the process environment, is the last) is one of them."""
    project, home = find_project(paths)
    files = flow_files(paths or [str(home / path) for path in project.flows] or ["."], Path.cwd())
    layers = _layers(project, home, options)
    known = {name for layer in layers.values() for name in layer} | set(environ or ())
    planned: list[Planned] = []
    warnings: list[Problem] = []
    problems: list[Problem] = []
    for file in files:
        try:
            definition, text, found = _read(file, known, strict)
        except InvalidFlow as invalid:
            problems.extend(invalid.problems)
            continue
        warnings.extend(found)
        if not _selected(definition, options):
            continue
        try:
            planned.append(Planned(definition, text, _variables(definition, file, layers)))
        except NotFound as missing:
            at = definition.position(("env_file",))
            remedy = "env_file is taken from the folder of the flow"
            problems.append(Problem(missing.message, file.file, at.line, at.column, remedy=remedy))
    if problems:
        raise InvalidFlow(tuple(problems))
    return planned, warnings


def known_names(paths: Sequence[str], options: Mapping[str, Any]) -> set[str]:
    """The names of variables that the project of the paths, its environment and this process give."""
    project, home = find_project(paths)
    return {name for layer in _layers(project, home, options).values() for name in layer}


def find_project(paths: Sequence[str] = ()) -> tuple[Project, Path]:
    """The project file and its folder: the nearest in the working folder or above it, else in or above the first of the
    paths that is there. An empty project in the working folder without one."""
    first = next((Path(path) for path in paths if Path(path).exists()), None)
    for folder in (Path.cwd(), *([first.resolve()] if first is not None else [])):
        for place in (folder, *folder.parents):
            path = place / PROJECT_FILE
            if path.is_file():
                return read_project(path.read_bytes(), file=str(path)), place
    return Project(), Path.cwd()


def in_project(file: str, home: Path) -> str:
    """A file's path in its project, with forward slashes; its name alone when it lies elsewhere."""
    path = Path(file).resolve()
    return path.relative_to(home.resolve()).as_posix() if path.is_relative_to(home.resolve()) else path.name


def _read(file: FlowFile, known: set[str], strict: bool) -> tuple[FlowDefinition, str, tuple[Problem, ...]]:
    if file.line is not None:
        raise Invalid(f"{file.file}:{file.line}: running one step alone is not possible yet; leave out the line")
    if not _is_text(file.file):
        raise InvalidFlow((Problem("The name of this file is not UTF-8", file.file, remedy="rename it"),))
    try:
        content = file.read()
    except OSError as error:
        raise InvalidFlow((Problem(f"The file cannot be read: {error.strerror}", file.file),)) from error
    definition, warnings = read_flow(content, file=file.file, actions=ACTIONS, known_variables=known, strict=strict)
    return definition, content.decode(), warnings


def _is_text(text: str) -> bool:
    """Whether it came as UTF-8: other bytes of names and arguments arrive as lone surrogates, which no record takes."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _selected(definition: FlowDefinition, options: Mapping[str, Any]) -> bool:
    wanted = {tag.strip() for tag in (options.get("tags") or "").split(",") if tag.strip()}
    text = (options.get("text") or "").lower()
    return (not wanted or not wanted.isdisjoint(definition.tags)) and (
        text in definition.name.lower() or text in definition.file.lower()
    )


def _layers(project: Project, home: Path, options: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The sources of variables that are the same for every flow."""
    name = options.get("environment") or project.env
    if name and name not in project.environments:
        known = ", ".join(project.environments) or "none"
        raise NotFound(f"{PROJECT_FILE} has no environment {name!r}", remedy=f"it has: {known}")
    env_files: dict[str, Any] = {}
    for path in options.get("env_files") or ():
        env_files.update(_env_file(Path(path)))
    project_values = dict(project.variables)
    for path in project.env_file:
        project_values = {**_env_file(home / path), **project_values}
    return {
        "--var": dict(parse_assignment(text) for text in options.get("variables") or ()),
        "TESTMESH_VAR_*": process_variables(os.environ),
        "--env-file": env_files,
        "environment": project.environments.get(name, {}) if name else {},
        "project file": project_values,
    }


def _variables(definition: FlowDefinition, file: FlowFile, layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the flow is given from outside; its own `env` is added when it runs."""
    folder = file.path.parent if file.path else Path.cwd()
    own: dict[str, Any] = {}
    for path in definition.env_file:
        own.update(_env_file(folder / path))
    values = dict(resolve(by_precedence({**layers, "env_file": own})).values)
    for name, value in values.items():
        if not _is_text(name) or (isinstance(value, str) and not _is_text(value)):
            raise Invalid(f"the variable {name} is not UTF-8", remedy="give bytes as base64 text")
    return values


def _env_file(path: Path) -> dict[str, str]:
    try:
        return parse_env_file(path.read_bytes(), file=str(path))
    except OSError as error:
        raise NotFound(f"the file of variables {path} cannot be read: {error.strerror}") from error
