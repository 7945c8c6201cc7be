"""Documents that YAML cannot read: where, why, and the line as its author probably meant it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from application.documents.quotes import breaks, corrected_line, corrected_part, has_template, quote_remedy
from application.documents.source import Source
from domain.definition import Position
from domain.errors import InvalidFlow

_OPENERS = {"flow sequence": "[", "flow mapping": "{"}


def malformed(source: Source, error: yaml.MarkedYAMLError) -> InvalidFlow:
    """What YAML itself could not read; a value without quotes is by far the commonest reason."""
    marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
    at = Position(marks[0].line + 1, marks[0].column + 1) if marks else Position(1, 1)
    for number in _suspects(source, [mark.line + 1 for mark in marks]):
        line = source.line(number)
        column = next((match.start() + 1 for match in re.finditer(r"\$\{|\{\{", line)), 1)
        return refused(source, Position(number, column), "YAML cannot read this template", quote_remedy(line))
    title = f"YAML cannot read this: {error.problem or error.context}"
    for number, fixed in _inline(source, error):
        place = at if number == at.line else _first_difference(source.line(number), number, fixed)
        return refused(source, place, title, f"put this value in quotes: {fixed}")
    return refused(source, at, title, _hint(source, at, str(error.problem)))


def _suspects(source: Source, marked: list[int]) -> list[int]:
    """Lines at or just before the marks that hold a template, the likeliest first."""
    near = [number for line in marked[:1] for number in (line, line - 1)] + marked[1:]
    return [number for number in near if has_template(source.line(number)) and breaks(source.line(number))]


def _inline(source: Source, error: yaml.MarkedYAMLError) -> Iterator[tuple[int, str]]:
    """Lines of a collection in inline style with the quotes without which YAML cannot read on."""
    begin, end = error.context_mark, error.problem_mark
    opener = next((sign for word, sign in _OPENERS.items() if word in str(error.context)), None)
    if begin is None or end is None:
        return
    for number in dict.fromkeys((end.line + 1, end.line, begin.line + 1)):
        line = source.line(number)
        fixed = corrected_part(line, opener) if opener and number > begin.line + 1 else corrected_line(line)
        if fixed and _reads_on(source, number, fixed, end.line):
            yield number, fixed


def _reads_on(source: Source, number: int, fixed: str, line: int) -> bool:
    """Whether YAML comes further than to a line (from 0) once another line (from 1) is replaced."""
    lines = list(source.lines)
    lines[number - 1] = lines[number - 1][: -len(lines[number - 1].lstrip())] + fixed
    try:
        for _ in yaml.parse("\n".join(lines), Loader=yaml.CSafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        return error.problem_mark is not None and error.problem_mark.line > line
    except (yaml.YAMLError, UnicodeError):
        return False
    return True


def _first_difference(line: str, number: int, fixed: str) -> Position:
    indent = len(line) - len(line.lstrip())
    same = next((at for at, (old, new) in enumerate(zip(line[indent:], fixed, strict=False)) if old != new), 0)
    return Position(number, indent + same + 1)


def _hint(source: Source, at: Position, problem: str) -> str | None:
    line = source.line(at.line)
    if "\t" in line[: at.column]:
        return "indent with spaces, not with tabs"
    if (
        has_template(line)
        or any(word in problem for word in ("alias", "anchor", "token", "mapping values", "indicator"))
        or breaks(line)
    ):
        return quote_remedy(line)
    return None


def refused(source: Source, at: Position, title: str, remedy: str | None = None) -> InvalidFlow:
    """The refusal of a document for one thing at a place."""
    return InvalidFlow((source.problem(at, title, remedy),))
