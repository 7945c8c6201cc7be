"""How many columns of a terminal a text takes: wide characters take two, marks and joiners none."""

from __future__ import annotations


def columns(text: str) -> int:
    """The columns of a text without line ends and tabs (Unicode Standard Annex 11)."""
    return len(text) if text.isascii() else sum(map(_column, text))


def blank(text: str) -> str:
    """As much room as the text takes, tabs kept: what stands before a caret beneath it."""
    return "".join("\t" if character == "\t" else " " * columns(character) for character in text)


def _column(character: str) -> int:
    import unicodedata  # 2 ms, and most texts are ASCII

    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
