"""The known word behind a misspelled one: near enough that the same word was meant, or a longer form of it."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 100
"""Characters of a word that are looked at."""
_SHORTEST_OTHER_CASE = 5
"""`uid` does not mean UUID, nor `pat` PATH: names in the other case are near from this length on."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The nearest known word, in any case: a third of its letters may differ, one in short words; else one that it begins."""
    from difflib import get_close_matches  # loaded only when something is wrong

    lower = word.lower()[:_LONGEST]
    names = {name.lower(): name for name in sorted(known) if _same_case(word, name)}
    close = [name for name in get_close_matches(lower, names, n=5, cutoff=0.6) if _is_near(lower, name)]
    longer = [name for name in names if min(len(lower), len(name)) > 2 and name.startswith(lower)]
    return next((names[name] for name in (*close, *longer)), None)


def _same_case(word: str, name: str) -> bool:
    return word.isupper() == name.isupper() or word.lower() == name.lower() or len(word) >= _SHORTEST_OTHER_CASE


def _is_near(word: str, name: str) -> bool:
    return distance(word, name) <= max(1, min(len(word), len(name)) // 3)


def distance(one: str, other: str) -> int:
    """How many letters must be put in, taken out, replaced or swapped with the next (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, row, earlier = row, [number], before
        for at, wanted in enumerate(other, 1):
            cost = min(above[at] + 1, row[at - 1] + 1, above[at - 1] + (letter != wanted))
            if number > 1 and at > 1 and letter == other[at - 2] and one[number - 2] == wanted:
                cost = min(cost, earlier[at - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]
