"""What a command line wants run: flow files read and checked, filtered, with their variables resolved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from application.actions.registry import ACTIONS
from application.documents.source import Source
from application.flow_documents import FlowFile, read_flow
from application.variables import (
    Project,
    by_precedence,
    parse_assignment,
    parse_env_file,
    process_variables,
    resolve,
)
from domain.definition import Data, FlowDefinition
from domain.definition import Path as Place
from domain.errors import Invalid, InvalidFlow, NotFound, Problem, Refusal
from domain.values import dataclass
from interfaces.cli.project import PROJECT_FILE, find_project, meant_files

if TYPE_CHECKING:
    from application.data_rows import Cases


@dataclass(frozen=True, slots=True)
class Planned:
    """A flow to run: its definition, exact text, and variables. `given` are those that no row of data replaces; `needs` the
    files of the flows that must pass before."""

    definition: FlowDefinition
    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    cases: Cases | None = None
    needs: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    """Keys of the rows that are wanted; None for all."""
    partial: bool = False
    """Whether it is only a part of what its text says: the step at a line, and what that needs."""

    @property
    def file(self) -> str:
        """What tells it from the others of a run."""
        return self.definition.file


def plan(
    paths: Sequence[str], options: Mapping[str, Any], *, strict: bool = False, environ: Mapping[str, str] | None = None
) -> tuple[list[Planned], list[Problem]]:
    """The flows to run, those that others need included, and the warnings. Every problem of every file is raised at once.
    With `strict`, a name that no source gives (`environ`, the process environment, is the last) is one of them."""
    planner = Planner(paths, options, strict=strict, environ=environ)
    planned = planner.read(planner.files())
    if any(flow.definition.needs for flow in planned):
        from interfaces.cli.planning.needs import with_needs

        planned = with_needs(planned, planner)
    planner.finish()
    return planned, planner.warnings


class Planner:
    """Reads flows of one project with the options of one command line."""

    def __init__(
        self, paths: Sequence[str], options: Mapping[str, Any], *, strict: bool, environ: Mapping[str, str] | None
    ) -> None:
        self.project, self.home = find_project(paths)
        self._paths = paths
        self._options = options
        self._strict = strict
        self._layers = _layers(self.project, self.home, options)
        self._known = _names(self.project, self._layers) | set(environ or ()) | self._columns()
        self._known |= {text.partition("=")[0].strip() for text in options.get("matrix") or ()}
        self._wanted = _wanted(options)
        self.warnings: list[Problem] = []
        self.problems: list[Problem] = []

    def files(self) -> tuple[FlowFile, ...]:
        """The files that the command line means."""
        return meant_files(self._paths)

    def read(self, files: Iterable[FlowFile], *, selected: bool = True) -> list[Planned]:
        """The flows in these files, with `selected` only those that the options ask for; problems are collected."""
        found = (self._read(file, selected) for file in files)
        return [planned for planned in found if planned is not None]

    def finish(self) -> None:
        """Raise InvalidFlow with every problem, if there is one."""
        if self.problems:
            raise InvalidFlow(tuple(self.problems))

    def _read(self, file: FlowFile, selected: bool) -> Planned | None:
        try:
            definition, text = self._definition(file)
        except InvalidFlow as invalid:
            self.problems.extend(invalid.problems)
            return None
        if selected and not self._wanted(definition):
            return None
        whole = definition
        if file.line is not None:
            from interfaces.cli.planning.narrowing import narrowed

            definition = narrowed(definition, file.line)
        cases = self._cases(definition, file)
        try:
            variables, given = self._variables(definition, file)
        except InvalidFlow as invalid:
            self.problems.extend(invalid.problems)
            return None
        except NotFound as missing:
            self._problem(definition, ("env_file",), missing.message, missing.remedy)
            return None
        return Planned(definition, text, variables, given, cases, partial=definition is not whole)

    def _definition(self, file: FlowFile) -> tuple[FlowDefinition, str]:
        if not _is_text(file.file):
            raise InvalidFlow((Problem("The name of this file is not UTF-8", file.file, remedy="rename it"),))
        try:
            content = file.read()
        except OSError as error:
            raise InvalidFlow((Problem(f"The file cannot be read: {error.strerror}", file.file),)) from error
        definition, warnings = read_flow(
            content,
            file=file.file,
            actions=ACTIONS,
            known_variables=self._known,
            strict=self._strict,
            columns=lambda data: columns_of(data, folder_of(file)),
            env_names=lambda path: names_of_env_file(path, file),
        )
        self.warnings.extend(warnings)
        return definition, content.decode()

    def _cases(self, definition: FlowDefinition, file: FlowFile) -> Cases | None:
        """The rows of the flow, all looked at once, or those of --data instead."""
        data, folder = definition.data, folder_of(file)
        if self._options.get("data"):
            data = replace(data or Data(), rows=(), file=str(self._options["data"]))
            folder = Path.cwd()
        if data is None:
            return None
        try:
            if data is definition.data:
                return rows_of(data, file, self.home)
            return _some_rows(data, folder)
        except Refusal as refusal:
            self._problem(definition, ("data",), refusal.message, refusal.remedy)
            return None

    def _columns(self) -> set[str]:
        """The names that the rows of --data bring to every flow."""
        if not self._options.get("data"):
            return set()
        return {"row", *(columns_of(Data(file=str(self._options["data"])), Path.cwd()) or ())}

    def _problem(self, definition: FlowDefinition, place: Place, message: str, remedy: str | None) -> None:
        source = Source(definition.source, definition.file)
        self.problems.append(source.problem(definition.position(place), message, remedy))

    def sources(self, definition: FlowDefinition | None = None, file: FlowFile | None = None) -> dict[str, Mapping[str, Any]]:
        """The sources of variables, by their names in PRECEDENCE; those of a flow's `env_file` where it is given."""
        if definition is None or file is None:
            return self._layers
        own: dict[str, Any] = {}
        for path in definition.env_file:
            own.update(env_file_values(path, file))
        return {**self._layers, "env_file": own}

    def _variables(self, definition: FlowDefinition, file: FlowFile) -> tuple[dict[str, Any], frozenset[str]]:
        """What the flow is given from outside, its own `env` is added when it runs; and the names that --var gives."""
        values = dict(resolve(by_precedence(self.sources(definition, file))).values)
        for name, value in values.items():
            if not _is_text(name) or (isinstance(value, str) and not _is_text(value)):
                raise Invalid(f"the variable {name} is not UTF-8", remedy="give bytes as base64 text")
        return values, frozenset(self._layers["--var"])


def given_variables(paths: Sequence[str], options: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The variables that the command line, the environment and the project give flows that are not here; and the name of the
    project, if it has one."""
    project, home = find_project(paths)
    return dict(resolve(by_precedence(_layers(project, home, options))).values), project.project


def known_names(paths: Sequence[str], options: Mapping[str, Any]) -> set[str]:
    """The names of variables that the project of the paths, its environment and this process give."""
    project, home = find_project(paths)
    return _names(project, _layers(project, home, options))


def _names(project: Project, layers: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """What the sources give, and what a run adds."""
    return {name for layer in layers.values() for name in layer} | ({project.demo} if project.demo else set())


def folder_of(file: FlowFile) -> Path:
    """The folder from which paths in a flow count."""
    return file.path.parent if file.path else Path.cwd()


def columns_of(data: Data, folder: Path) -> tuple[str, ...] | None:
    """The names in the first row of a file of rows; None when there is none that can be read, which is told elsewhere."""
    from application.data_rows import Cases

    try:
        first = next(iter(Cases(replace(data, key=None), folder)), None)
    except Refusal:
        return None
    return tuple(first.values) if first is not None else None


def env_file_values(path: str, file: FlowFile) -> dict[str, str]:
    """The variables of a file that a flow names in `env_file`. NotFound where it is not there, Invalid where it is none."""
    try:
        return _env_file(folder_of(file) / path)
    except NotFound as missing:
        raise NotFound(missing.message, remedy="env_file is taken from the folder of the flow") from missing


def rows_of(data: Data, file: FlowFile, home: Path) -> Cases:
    """The rows of a flow, all looked at once. A Refusal says what is wrong with them."""
    folder = folder_of(file)
    if data.file is not None:
        place = (folder / data.file).resolve()
        if not any(place.is_relative_to(root.resolve()) for root in (home, folder)):
            raise Invalid(
                f"the data file {data.file} lies outside of the project", remedy="copy it there, or give it with --data"
            )
    return _some_rows(data, folder)


def _some_rows(data: Data, folder: Path) -> Cases:
    from application.data_rows import Cases

    cases = Cases(data, folder)
    if cases.count() == 0:
        raise Invalid("There is no row of data", remedy="add a row, or remove data")
    return cases


def names_of_env_file(path: str, file: FlowFile) -> tuple[str, ...] | None:
    """The names in a file of variables of a flow; None when it cannot be read, which is told elsewhere."""
    try:
        return tuple(env_file_values(path, file))
    except Refusal:
        return None


def _is_text(text: str) -> bool:
    """Whether it came as UTF-8: other bytes of names and arguments arrive as lone surrogates, which no record takes."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _wanted(options: Mapping[str, Any]) -> Callable[[FlowDefinition], bool]:
    """Whether the options select a flow."""
    text, suite, tags = (options.get("text") or "").lower(), options.get("suite"), options.get("tags")
    if tags:
        from application.tag_expression import parse_tags

        matches = parse_tags(tags)
    return lambda flow: (
        (text in flow.name.lower() or text in flow.file.lower())
        and (not suite or flow.suite == suite)
        and (not tags or matches(flow.tags))
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
    if project.demo and options.get("demo"):
        project_values[project.demo] = options["demo"]
    given: dict[str, Any] = {}
    for path in options.get("var_files") or ():
        given.update(_var_file(Path(path)))
    given.update(parse_assignment(text) for text in options.get("variables") or ())
    return {
        "--var": given,
        "TESTMESH_VAR_*": process_variables(os.environ),
        "--env-file": env_files,
        "environment": project.environments.get(name, {}) if name else {},
        "project file": project_values,
    }


def _env_file(path: Path) -> dict[str, str]:
    try:
        return parse_env_file(path.read_bytes(), file=str(path))
    except OSError as error:
        raise NotFound(f"the file of variables {path} cannot be read: {error.strerror}") from error


def _var_file(path: Path) -> dict[str, Any]:
    """A YAML or JSON file of variables: a mapping from names to values of any type."""
    from application.documents.reader import read

    try:
        found = read(path.read_bytes(), str(path))
    except OSError as error:
        raise NotFound(f"the file of variables {path} cannot be read: {error.strerror}") from error
    if found.problems:
        raise InvalidFlow(tuple(found.problems))
    if not isinstance(found.value, dict):
        raise Invalid(f"{path} must be a mapping from names to values", remedy="write it like: user: ada")
    return found.value
