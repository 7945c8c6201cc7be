"""How much room a text takes on a terminal."""

from __future__ import annotations

import pytest

from domain.columns import blank, columns


@pytest.mark.parametrize(
    ("text", "wide"), [("abc", 3), ("日本", 4), ("🚀", 2), ("e\u0301", 1), ("a\u200db", 2), ("", 0), ("Ä№", 2)]
)
def test_wide_characters_take_two_columns_and_marks_none(text: str, wide: int) -> None:
    assert columns(text) == wide
    assert blank(text) == " " * wide


def test_tabs_stay_in_front_of_a_caret() -> None:
    assert blank("\ta日") == "\t   "
