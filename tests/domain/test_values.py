"""The dataclasses of this project behave as those of the standard library, but for what is said to be left out."""

from __future__ import annotations

from dataclasses import field, fields, replace

import orjson
import pytest

from domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A value."""

    line: int
    notes: tuple[str, ...] = ()
    seen: dict[str, int] = field(default_factory=dict, compare=False, repr=False)


@dataclass(slots=True, eq=False, repr=False)
class Door:
    """A thing, which is equal to itself alone."""

    open: bool = False


@dataclass(frozen=True)
class Own:
    """A value with a text and an equality of its own."""

    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "own"


def test_equal_fields_make_equal_values_with_one_hash() -> None:
    assert Place(1, ("a",)) == Place(1, ("a",), {"x": 1})
    assert Place(1) != Place(2)
    assert Place(1) != (1, ())
    assert len({Place(1), Place(1), Place(2)}) == 2


def test_a_value_says_what_it_is() -> None:
    assert repr(Place(1, ("a",), {"x": 1})) == "Place(line=1, notes=('a',))"


def test_there_is_no_room_for_other_fields() -> None:
    with pytest.raises(AttributeError):
        Place(1).other = 2  # type: ignore[attr-defined]


def test_the_tools_of_the_standard_library_know_them() -> None:
    assert replace(Place(1), line=2) == Place(2)
    assert [one.name for one in fields(Place)] == ["line", "notes", "seen"]
    assert orjson.loads(orjson.dumps(Place(1))) == {"line": 1, "notes": [], "seen": {}}


def test_things_are_not_values() -> None:
    assert Door() != Door()
    assert len({Door(), Door()}) == 2


def test_what_a_class_defines_itself_stays() -> None:
    assert (Own("a") == Own("b"), hash(Own("a")), repr(Own("a"))) == (True, 7, "own")
