"""How databases write SQL, as far as finding parameters in it needs to know."""

from __future__ import annotations

import re
from collections.abc import Callable

from domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to write SQL. `token` splits a query into pieces by named groups; `place` writes the n-th parameter (from 1)."""

    token: re.Pattern[str]
    place: Callable[[int], str]
    most_values: int = 65_535
    nested_comments: bool = False
    question_operators: bool = False
    """Whether `?` is an operator too, which is written `??` among parameters."""


def _pattern(*, blank: str, text: str, opens: str, number: str, special: str = "") -> re.Pattern[str]:
    """The pieces of a dialect: what differs, in front of what all have in common."""
    return re.compile(
        rf"""
          (?P<blank>\s++|{blank})
        | (?P<comment>/\*)
        | (?P<text>{text})
        | (?P<word>[^\W\d][\w$]*+)
        {special}
        | (?P<number>{number})
        | (?P<assign>::|:=)
        | (?P<name>(?<![\w\])"]):[^\W\d]\w*+)
        | (?P<percent>%s(?!\w))
        | (?P<question>\?)
        | (?P<end>;)
        | (?P<open>[{opens}])
        | (?P<other>.)
        """,
        re.VERBOSE | re.DOTALL,
    )


POSTGRESQL = Dialect(
    _pattern(
        blank=r"--[^\n]*+",
        text=r"""[eE]'(?:[^'\\]|\\.|'')*+'|'(?:[^']|'')*+'|"(?:[^"]|"")*+\"""",
        opens="'\"",
        special=r"""
        | (?P<dollar>\$(?:[^\W\d]\w*+)?\$)
        | (?P<operator>(?<![<@~])@\?|\?[|&](?![|&]))
        | (?P<escaped>\?\?)
        """,
        number=r"\$\d++",
    ),
    place="${}".format,
    nested_comments=True,
    question_operators=True,
)
MYSQL = Dialect(
    _pattern(
        blank=r"\#[^\n]*+|--(?=\s|\Z)[^\n]*+",
        text=r"""'(?:[^'\\]|\\.|'')*+'|"(?:[^"\\]|\\.|"")*+"|`(?:[^`]|``)*+`""",
        opens="'\"`",
        number=r"\$\d++",
    ),
    place="\0{}\0".format,
)
"""Its client writes the values as literals: a place is a number between two NUL, which no query holds."""
SQLITE = Dialect(
    _pattern(
        blank=r"--[^\n]*+",
        text=r"""'(?:[^']|'')*+'|"(?:[^"]|"")*+"|`(?:[^`]|``)*+`|\[[^\]]*+\]""",
        opens="'\"`\\[",
        number=r"[$?]\d++",
    ),
    place="?{}".format,
    most_values=32_766,
)
