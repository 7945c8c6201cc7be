"""Which known word a misspelled one means."""

import pytest

from domain.near_words import distance, nearest

KNOWN = ("status", "user", "login", "UUID", "PATH", "SECOND", "MONTH", "TIMESTAMP", "assert", "create_user")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("stauts", "status"),
        ("usr", "user"),
        ("logn", "login"),
        ("USER", "user"),
        ("timestmp", "TIMESTAMP"),
        ("uuid", "UUID"),
        ("creat", "create_user"),
        ("assrt", "assert"),
        ("cond", None),
        ("auth", None),
        ("pat", None),
        ("mont", None),
        ("n", None),
        ("", None),
    ],
)
def test_only_near_words_are_meant(word: str, meant: str | None) -> None:
    assert nearest(word, KNOWN) == meant


@pytest.mark.parametrize(
    ("one", "other", "number"), [("abc", "acb", 1), ("", "ab", 2), ("abc", "abc", 0), ("cond", "second", 2)]
)
def test_the_distance_counts_letters_and_swaps(one: str, other: str, number: int) -> None:
    assert distance(one, other) == distance(other, one) == number
