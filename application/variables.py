"""Variables: where they come from, which source wins, and the files that hold them (.env files and testmesh.yaml)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from application.documents.check import Check
from application.documents.reader import read
from application.documents.records import Key, ListOf, MapOf, Record
from application.documents.report import Report
from application.documents.shapes import Anything, Text
from application.documents.source import Source, did_you_mean
from domain.definition import Position
from domain.errors import Invalid, InvalidFlow, NotFound, Problem
from domain.limits import LIMITS
from domain.values import dataclass

PREFIX = "TESTMESH_VAR_"
PRECEDENCE = ("--var", "TESTMESH_VAR_*", "--env-file", "environment", "project file", "env_file", "env")
"""The sources of variables, the strongest first."""

Layer = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Who won a name: the value and its source, and the sources that gave it too, in the order of their strength."""

    name: str
    value: Any
    source: str
    overridden: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of a run. `sources` are all that were asked, the strongest first."""

    values: Mapping[str, Any]
    sources: tuple[Layer, ...] = ()

    def explain(self, name: str) -> Explanation:
        """Where a name's value comes from. Raises NotFound, with the nearest name, if no source has it."""
        found = [(source, values[name]) for source, values in self.sources if name in values]
        if not found:
            raise NotFound(f'No source gives the variable "{name}"', remedy=did_you_mean(name, self.values))
        (source, value), *others = found
        return Explanation(name, value, source, tuple(others))


def resolve(sources: Sequence[Layer]) -> Variables:
    """The variables that result when earlier sources win over later ones."""
    values: dict[str, Any] = {}
    for _, given in reversed(sources):
        values.update(given)
    return Variables(values, tuple(sources))


def by_precedence(given: Mapping[str, Mapping[str, Any]]) -> tuple[Layer, ...]:
    """Sources by name (of PRECEDENCE), put in the order of their strength."""
    if unknown := set(given) - set(PRECEDENCE):
        raise Invalid(f"There is no source of variables {sorted(unknown)}", code="unknown_source")
    return tuple((name, given[name]) for name in PRECEDENCE if name in given)


def process_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables in a process environment: `TESTMESH_VAR_NAME=value`."""
    return {
        name[len(PREFIX) :]: value for name, value in environ.items() if name.startswith(PREFIX) and len(name) > len(PREFIX)
    }


def parse_assignment(text: str) -> tuple[str, str]:
    """The name and value of `NAME=value`. Raises Invalid."""
    name, equals, value = text.partition("=")
    if not equals or not _NAME.fullmatch(name.strip()):
        raise Invalid(f'"{text}" is not NAME=VALUE', code="invalid_variable", remedy="write it like --var user=ada")
    return name.strip(), value


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE_START = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_QUOTED = {"'": re.compile(r"'([^']*)'"), '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)}
_COMMENT = re.compile(r"(?:^|\s)#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "\n": ""}


def parse_env_file(text: str | bytes, *, file: str = ".env") -> dict[str, str]:
    """The variables of an .env file: KEY=VALUE lines, `export`, comments, and quotes, which may span lines.

    Single quotes keep everything as it is; double quotes know \\n \\t \\r \\" \\\\ \\$. The last of equal names wins.
    Raises InvalidFlow with every line that cannot be read.
    """
    source = Source(_decoded(text, file).replace("\r\n", "\n"), file)
    problems: list[Problem] = []
    values: dict[str, str] = {}
    for entry in _entries(source):
        if isinstance(entry, Problem):
            problems.append(entry)
        else:
            values[entry[0]] = entry[1]
    if problems:
        raise InvalidFlow(tuple(problems[:100]))
    return values


def _entries(source: Source) -> Iterator[tuple[str, str] | Problem]:
    text, index, line = source.text, 0, 1
    while index < len(text):
        if blank := _LINE_START.match(text, index):
            index, line = blank.end(), line + 1
            continue
        entry, end = _entry(source, index, Position(line, 1))
        yield entry
        line += text.count("\n", index, end) + 1
        index = end + 1


def _entry(source: Source, index: int, at: Position) -> tuple[tuple[str, str] | Problem, int]:
    """One assignment and the index of the line break after it."""
    text = source.text
    line_end = _line_end(text, index)
    head = _ASSIGNMENT.match(text, index)
    if not head:
        return source.problem(at, "This line is not KEY=VALUE", "begin comments with #, and names with a letter or _"), line_end
    start = head.end()
    quote = text[start : start + 1]
    if quote not in _QUOTED:
        return (head.group(1), _COMMENT.sub("", text[start:line_end]).strip()), line_end
    column = Position(at.line, start - index + 1)
    found = _QUOTED[quote].match(text, start)
    if not found:
        return source.problem(column, f"The quote {quote} is not closed", f"end the value with {quote}"), line_end
    line_end = _line_end(text, found.end())
    if not re.fullmatch(r"[ \t]*(#.*)?", text[found.end() : line_end]):
        return source.problem(column, "Text follows the closing quote", "put the whole value in quotes"), line_end
    value = found.group(1) if quote == "'" else _ESCAPE.sub(_unescaped, found.group(1))
    return (head.group(1), value), line_end


def _line_end(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(1), match.group())


def _decoded(text: str | bytes, file: str) -> str:
    if len(text) > LIMITS.document_bytes:
        title = f"The file has {len(text):,} bytes; at most {LIMITS.document_bytes:,} are read"
        raise InvalidFlow((Problem(title, file),))
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1 if isinstance(text, bytes) else 1
        raise InvalidFlow((Problem("The file is not UTF-8", file, line, remedy="save the file as UTF-8"),)) from None
    return decoded.removeprefix("\ufeff")


PROJECT = Record(
    {
        "project": Key(Text(1, 255), description="The project's name; part of every flow's key."),
        "url": Key(Text(1), description="The server to push to and to run on."),
        "env": Key(Text(1, 255), description="The environment that is used unless --env names another."),
        "environments": Key(MapOf(MapOf(Anything())), description="Variables by the name of an environment."),
        "env_file": Key(ListOf(Text(1)), description="Files of variables, KEY=VALUE a line."),
        "flows": Key(ListOf(Text(1)), description="Files, folders and globs that hold the flows."),
        "variables": Key(MapOf(Anything()), description="Variables of every flow."),
        "secrets": Key(ListOf(Text(1)), description="Names of variables whose values are masked everywhere, as with --secret."),
        "demo": Key(Text(1), description="Local runs start the demo shop and put its address into this variable."),
    },
    what="A project file",
    synonyms={
        "name": "project",
        "server": "url",
        "vars": "variables",
        "environment": "env",
        "paths": "flows",
        "tests": "flows",
    },
)


@dataclass(frozen=True, slots=True)
class Project:
    """What testmesh.yaml says. Paths are as written, relative to its folder."""

    project: str | None = None
    url: str | None = None
    env: str | None = None
    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    env_file: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    demo: str | None = None


def read_project(text: str | bytes, *, file: str = "testmesh.yaml") -> Project:
    """A project file. Raises InvalidFlow with every problem found."""
    report = Report(read(text, file))
    report.errors += report.document.problems
    value = {} if report.document.value is None else report.document.value
    PROJECT.check(value, (), Check(report, {}))
    report.finish()
    settings = {name: _setting(name, given, report) for name, given in value.items()}
    return Project(**settings)


def _setting(name: str, given: Any, report: Report) -> Any:
    shape = PROJECT.keys[name].shape
    if isinstance(shape, Text):
        return given if isinstance(given, str) else report.document.texts.get((name,), str(given))
    if isinstance(shape, ListOf):
        return tuple(str(item) for item in given) if isinstance(given, list) else (str(given),)
    return given
