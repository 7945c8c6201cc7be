"""Files from outside, broken in any way: refused with a reason or imported, never a crash, never without end."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.documents.reader import read
from application.importing.har import HarFilter, read_har
from application.importing.model import Imported
from application.importing.openapi import read_openapi
from application.importing.postman import read_postman
from application.importing.postman_scripts import ScriptReader
from application.importing.writing import write_flow
from domain.errors import Refusal
from tests.support.cpu_time import at_most

FIXTURES = Path(__file__).parent / "fixtures"
READERS: dict[str, tuple[Any, Callable[[bytes], Imported]]] = {
    "har": (
        json.loads((FIXTURES / "shop.har").read_text()),
        lambda data: read_har(data, "f", HarFilter(types=frozenset({"all"}))),
    ),
    "openapi": (read((FIXTURES / "library.yaml").read_bytes()).value, lambda data: read_openapi(data, "f")),
    "postman": (json.loads((FIXTURES / "shop.postman_collection.json").read_text()), lambda data: read_postman(data, "f")),
}
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        "",
        "{{",
        "${",
        "{{a}}",
        "\ud800",
        "\0",
        "http://[",
        "://",
        "../..",
        [],
        {},
        [None],
        {"": None},
        [[]],
        {"$ref": "#/paths"},
    ]
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = _changed(value[path[0]], path[1:], new)
    return made


@pytest.mark.parametrize("kind", list(READERS))
def test_a_file_with_odd_values_is_refused_or_imported(kind: str) -> None:
    original, reader = READERS[kind]

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        value = original
        for _ in range(data.draw(st.integers(1, 3))):
            value = _changed(value, data.draw(st.sampled_from(_places(value))), data.draw(ODD))
        with suppress(Refusal):
            for draft in reader(json.dumps(value).encode()).drafts:
                write_flow(draft)

    check()


@pytest.mark.parametrize(
    "piece", ["\n", "(", "a\n.b", "/*", "//\n", "a b c\n", "'", "pm.test('x', () => {", "pm.expect(a).to.", "=== "]
)
def test_long_scripts_end(piece: str) -> None:
    with at_most(20):
        ScriptReader(lambda name: name).read(piece * (60_000 // len(piece)))
