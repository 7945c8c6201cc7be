"""Tables and JSON on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from domain.columns import columns as width_of

WIDEST = 60


def show_json(value: Any) -> None:
    """Indented JSON."""
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def show_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Rows in aligned columns: key of a row to heading. Ids are never cut."""
    lines = [list(columns.values())]
    lines += [[_cell(row.get(key), cut=key != "id") for key in columns] for row in rows]
    widths = [max(width_of(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (cell + " " * (width - width_of(cell)) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _cell(value: Any, *, cut: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = "".join(character if character.isprintable() else " " for character in str(value))
    return text[: WIDEST - 1] + "…" if cut and len(text) > WIDEST else text
