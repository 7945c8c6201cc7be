"""Markdown: tables and code whose content cannot break them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]*`)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing for no rows."""
    lines = [_row(row) for row in rows]
    return "\n".join([_row(head), _row(["---"] * len(head)), *lines, ""]) if lines else ""


def prose(text: str) -> str:
    """Plain text as Markdown that shows it as it is; what stands in backquotes stays."""
    parts = _CODE.split(text)
    return "".join(part if number % 2 else re.sub(r"([<*])", r"\\\1", part) for number, part in enumerate(parts))


def code(text: str) -> str:
    """Text as code within a line, backquotes inside it included."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def block(text: str, language: str) -> str:
    """A fenced block."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def join(parts: Iterable[str]) -> str:
    """Parts of a page, one empty line between two; empty parts leave no trace."""
    return "\n\n".join(stripped for part in parts if (stripped := part.strip("\n"))) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
