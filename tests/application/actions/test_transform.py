"""The action transform: every operation, what it refuses, and how it is used in flows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from application.actions.registry import ACTIONS
from application.actions.transform import TRANSFORM
from application.engine.action import ActionError
from application.flow_documents import read_flow
from domain.limits import LIMITS
from tests.support.action_context import Bench, bench
from tests.support.local import Local, finished, flow, outcomes

ORDERS = [
    {"id": 1, "by": "ada", "price": 5, "tags": ["a", "b"]},
    {"id": 2, "by": "bob", "price": 2.5, "tags": []},
    {"id": 3, "by": "ada", "price": 10, "tags": ["c"]},
]
PEOPLE = [{"name": "ada", "city": "London"}, {"name": "cy", "city": "Paris"}]
ANSWER = {"status": 200, "id": 7, "body": {"id": 9, "items": ORDERS, "content-type": "x"}}


async def result(value: Any, *operations: Any, **names: Any) -> Any:
    """What the operations make of the value."""
    async with bench(names=names) as steps:
        return (await steps.run(TRANSFORM, {"input": value, "operations": list(operations)}))["result"]


async def error(value: Any, *operations: Any, made: Bench | None = None, **names: Any) -> ActionError:
    """The error that they end with."""
    async with bench(names=names) as steps:
        return await (made or steps).error(TRANSFORM, {"input": value, "operations": list(operations)})


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.body.id", 9),
        ("body.id", 9),
        ("response.body.id", 9),
        ("result.body.items[-1].id", 3),
        ("$.id", 7),
        ("$.items[0].id", 1),
        ("$.body.items[?@.price > 4].id", [1, 3]),
        ("body.items[*].by", ["ada", "bob", "ada"]),
        ("$.items[*].id", [1, 2, 3]),
        ("$.body['content-type']", "x"),
        ("$.nothing?", None),
        ("body.items[${at}].id", 2),
    ],
)
async def test_extract_knows_every_dialect_of_paths(path: str, found: Any) -> None:
    assert await result(ANSWER, {"extract": path}, at=1) == found


async def test_extract_makes_an_object_of_paths_and_works_on_lists() -> None:
    assert await result(ANSWER, {"extract": {"code": "status", "first": "$.items[0].by"}}) == {"code": 200, "first": "ada"}
    assert await result(ORDERS, {"extract": "[1].by"}) == "bob"
    assert await result(ORDERS, {"extract": "$[*].id"}) == [1, 2, 3]


@pytest.mark.parametrize(
    ("operation", "made"),
    [
        ({"map": "item.price * 2"}, [10, 5.0, 20]),
        ({"map": "#.price * 2"}, [10, 5.0, 20]),
        ({"map": ".id + index"}, [1, 3, 5]),
        ({"map": "${item.id * factor}"}, [10, 20, 30]),
        (
            {"map": {"n": "item.id", "who": "upper(item.by)"}},
            [{"n": 1, "who": "ADA"}, {"n": 2, "who": "BOB"}, {"n": 3, "who": "ADA"}],
        ),
        ({"map": "len(filter(item.tags, # != 'a'))"}, [1, 0, 1]),
        ({"format": "${index}: ${item.by}"}, ["0: ada", "1: bob", "2: ada"]),
        ({"format": {"template": "${len(item)} orders", "each": False}}, "3 orders"),
        ({"count": "item.price > 4"}, 2),
        ("count", 3),
        ({"sum": "price"}, 17.5),
        ({"avg": "id"}, 2),
        ({"min": "price"}, 2.5),
        ({"max": "by"}, "bob"),
        ({"group": "by"}, {"ada": [ORDERS[0], ORDERS[2]], "bob": [ORDERS[1]]}),
        ({"group": {"by": "item.price > 4 ? 'dear' : 'cheap'"}}, {"dear": [ORDERS[0], ORDERS[2]], "cheap": [ORDERS[1]]}),
        ({"pick": ["id", "colour?"]}, [{"id": 1}, {"id": 2}, {"id": 3}]),
        ({"omit": ["price", "tags", "by"]}, [{"id": 1}, {"id": 2}, {"id": 3}]),
    ],
)
async def test_lists_are_worked_on_item_by_item(operation: Any, made: Any) -> None:
    assert await result(ORDERS, operation, factor=10) == made


@pytest.mark.parametrize(
    ("operation", "ids"),
    [
        ({"filter": "item.by == 'ada' && item.price > 5"}, [3]),
        ({"filter": ".price < limit"}, [2]),
        ({"sort": "price"}, [2, 1, 3]),
        ({"sort": {"by": "by", "desc": True}}, [2, 1, 3]),
        ({"sort": [{"by": "by", "desc": True}, {"by": "-item.id"}]}, [2, 3, 1]),
        ({"unique": "by"}, [1, 2]),
    ],
)
async def test_items_are_chosen_and_ordered(operation: Any, ids: list[int]) -> None:
    assert [item["id"] for item in await result(ORDERS, operation, limit=4)] == ids


@pytest.mark.parametrize(
    ("value", "operation", "made"),
    [
        ([3, None, 1], "sort", [1, 3, None]),
        ([3, None, 1], {"sort": {"desc": True}}, [3, 1, None]),
        (["2030-01-01T10:00:00+02:00", "2030-01-01T09:00:00Z"], "sort", ["2030-01-01T10:00:00+02:00", "2030-01-01T09:00:00Z"]),
        (
            [1, 1.0, True, "1", None, None, {"a": [1], "b": 2}, {"b": 2, "a": [1.0]}],
            "unique",
            [1, True, "1", None, {"a": [1], "b": 2}],
        ),
        ([[1, [2]], 3], "flatten", [1, [2], 3]),
        ([[1, [2]], 3], {"flatten": 2}, [1, 2, 3]),
        ([1, None, "x", True], {"join": "-"}, "1--x-true"),
        ([1, 2], {"join": {"separator": "${sep}"}}, "1;2"),
        ([1, 2.345], {"format": {"decimals": 2}}, ["1.00", "2.35"]),
        ("2030-01-31T23:30:00-02:00", {"format": {"date": "%d.%m.%Y %H:%M"}}, "01.02.2030 01:30"),
        ({"a": 1, "b": 2}, {"rename": {"a": "x", "c?": "d"}}, {"x": 1, "b": 2}),
        ({"a": 1}, {"merge": {"b": "${item.a + 1}"}}, {"a": 1, "b": 2}),
        ({"a": 1}, {"format": "a is ${item.a}"}, "a is 1"),
        ([], {"sum": True}, 0),
    ],
)
async def test_plain_values_and_objects(value: Any, operation: Any, made: Any) -> None:
    found = await result(value, operation, sep=";")
    assert found == made
    assert list(map(type, found)) == list(map(type, made)) if isinstance(made, list) else type(found) is type(made)


async def test_rows_are_joined_as_databases_do() -> None:
    both = {"with": PEOPLE, "left": "by", "right": "name"}
    inner = await result(ORDERS, {"join": both}, {"pick": ["id", "city"]})
    assert inner == [{"id": 1, "city": "London"}, {"id": 3, "city": "London"}]
    left = await result(ORDERS, {"join": {**both, "kind": "left", "as": "person"}}, {"map": "item.person?.city ?? '?'"})
    assert left == ["London", "?", "London"]
    rows = [{"k": 1, "v": "l"}, {"k": None, "v": "n"}]
    assert await result(
        rows, {"join": {"with": "${rights}", "on": "k"}}, rights=[{"k": 1.0, "v": "r", "w": 1}, {"k": None}]
    ) == [{"k": 1, "v": "l", "w": 1}]


async def test_every_save_as_is_kept_and_known_to_later_operations() -> None:
    operations = [
        {"extract": "$.body.items", "save_as": "orders"},
        {"map": "item.price", "save_as": "prices"},
        {"from": "orders", "filter": "item.price >= max(prices)", "save_as": "dearest"},
        {"from": "input", "extract": "status"},
    ]
    async with bench() as steps:
        made = await steps.run(TRANSFORM, {"input": ANSWER, "transforms": operations})
    assert made == {"result": 200, "count": 1, "orders": ORDERS, "prices": [5, 2.5, 10], "dearest": [ORDERS[2]]}


@pytest.mark.parametrize(
    ("value", "operation", "message"),
    [
        (ORDERS, {"filter": "item.prize > 4"}, "operation 1 (filter): item [0]: "),
        (ORDERS, {"filter": "item.price"}, "a filter must be true or false, not a number"),
        (ORDERS, {"map": "item.tags[0]"}, "operation 1 (map): item [1]: "),
        (ORDERS, {"map": "item."}, "operation 1 (map)"),
        (ORDERS, {"sort": "item.id == 2 ? 'x' : 1"}, "several kinds have no order: item [0] gives a number, item [1] a text"),
        (ORDERS, {"sort": "tags"}, "item [0] gives a list, which has no order"),
        (ORDERS, {"sort": "prise"}, "operation 1 (sort): item [0]: there is no field 'prise'"),
        (ORDERS, {"sum": "by"}, "item [0] gives a string, not a number"),
        (ORDERS, {"fliter": "x"}, "operation 1: there is no operation 'fliter'"),
        (ORDERS, {"filter": "true", "map": "item"}, "operation 1 must have one operation, not filter and map"),
        (ORDERS, {"save_as": "x"}, "must have one operation, not none"),
        (ORDERS, {"count": True, "save_as": "result"}, "save_as must be a name"),
        (ORDERS, {"from": "ordrs", "count": True}, "no operation before it saves 'ordrs'"),
        (ORDERS, {"rename": {"id": "by"}}, "two fields would have one name"),
        (ORDERS, {"join": {"with": PEOPLE}}, "join needs on, or left and right"),
        (ORDERS, {"join": {"with": {}, "on": "id"}}, "with: it works on a list, not on an object"),
        (ORDERS, {"join": {"with": [], "on": "id", "kind": "outer"}}, "inner or left, not 'outer'"),
        (ORDERS, {"format": {"date": "%9999999d"}}, "date must be a format such as"),
        (ORDERS, {"pick": ["prices"]}, "there is no field 'prices'"),
        ({"a": 1}, {"map": "item"}, "operation 1 (map): it works on a list, not on an object"),
        ([10**300, 10**310], {"format": {"decimals": 2}}, "a number is too large"),
        (["2030-01-01"], {"format": {"date": "\ud800"}}, "cannot be written in this format"),
        (ANSWER, {"extract": "$.bodi.id"}, "operation 1 (extract): "),
        ([], "avg", "operation 1 (avg): there are no items"),
        ([1], {"map": "map([1], #index + #)"}, None),
        ([1], {"map": "#index"}, "#index is known to functions such as map alone"),
    ],
)
async def test_errors_name_the_operation_and_the_item(value: Any, operation: Any, message: str | None) -> None:
    if message is None:
        assert await result(value, operation) == [[1]]
    else:
        assert message in (await error(value, operation)).message


async def test_remedies_name_what_was_meant() -> None:
    assert (await error(ORDERS, {"fliter": "x"})).hint == 'did you mean "filter"?'
    assert (await error(ORDERS, {"sort": "prise"})).hint == 'did you mean "price"?'
    assert "did you mean" in str((await error(ORDERS, {"filter": "item.prize > 4"})).hint)


async def test_items_and_what_is_made_are_bounded() -> None:
    async with bench(limits=replace(LIMITS, rows=100, data_bytes=50_000)) as few:
        assert (await error(list(range(101)), "count", made=few)).kind == "limit"
        rows = [{"k": 1}] * 11
        assert "more than 100 items" in (await error(rows, {"join": {"with": rows, "on": "k"}}, made=few)).message
        made = await error(list(range(100)), {"map": "repeat('x', 1000)"}, made=few)
        assert (made.kind, "item [49]" in made.message) == ("limit", True)
        assert (await error([[1] * 60] * 2, "flatten", made=few)).kind == "limit"
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    assert (await error(deep, "flatten")).kind == "limit"
    assert (await error([1], *["count"] * 101)).kind == "limit"


FILES = {
    "rows.csv": "id,name\n1,Ada\n2,Bob\n",
    "rows.jsonl": '{"id": "1", "name": "Ada"}\n\n{"id": "2", "name": "Bob"}\n',
    "rows.json": '[{"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob"}]',
    "sub/rows.yaml": "- {id: '1', name: Ada}\n- {id: '2', name: Bob}\n",
}


@pytest.mark.parametrize("name", FILES)
async def test_files_of_the_project_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text(FILES[name])
    async with bench(folder=tmp_path) as steps:
        config = {"input_file": name, "operations": [{"map": "item.id + item.name"}]}
        assert (await steps.run(TRANSFORM, config))["result"] == ["1Ada", "2Bob"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../outside.json", "must be a path below the project's folder"),
        ("/etc/passwd", "must be a path below the project's folder"),
        ("~/x.json", "must be a path below the project's folder"),
        ("link.json", "leads out of it"),
        ("linked/outside.json", "leads out of it"),
        ("nothing.json", "there is no file"),
        ("pipe.json", "there is no file"),
        ("broken.json", "is not JSON: line 1"),
        ("deep.json", "nested"),
        ("bad.yaml", "bad.yaml:1"),
        ("notes.txt", "is no data file"),
        ("ragged.csv", "ragged.csv:3"),
        ("big.jsonl", "more than 10,000 rows"),
        ("", "must be a path"),
        (7, "must be a path"),
    ],
)
async def test_files_elsewhere_or_unreadable_are_refused(tmp_path: Path, name: Any, message: str) -> None:
    (tmp_path / "outside.json").write_text("[]")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "link.json").symlink_to(tmp_path / "outside.json")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.json")
    texts = {
        "broken.json": "[1,",
        "deep.json": "[" * 5000 + "]" * 5000,
        "bad.yaml": "a: !!python/object:os.x []",
        "notes.txt": "x",
    }
    texts |= {"ragged.csv": "a,b\n1,2\n1,2,3\n", "big.jsonl": "{}\n" * 10_001}
    for file, text in texts.items():
        (folder / file).write_text(text)
    async with bench(folder=folder) as steps:
        found = await steps.error(TRANSFORM, {"input_file": name, "operations": ["count"]})
    assert message in found.message
    assert str(tmp_path) not in found.message


async def test_workers_read_no_files() -> None:
    async with bench() as steps:
        found = await steps.error(TRANSFORM, {"input_file": "rows.json", "operations": ["count"]})
    assert "needs a folder" in found.message


class TestInFlows:
    TEXT = """
- id: shape
  action: transform
  config:
    input: "${orders}"
    operations:
      - {filter: item.price > least, save_as: dear}
      - {map: {id: item.id, key: UUID}, save_as: keyed}
      - {format: "${item.id} of ${len(dear)}: ${item.key}"}
  output: {dear: dear, first: "result[0]"}
  assert: [len(dear) == 2, "keyed[0].key != keyed[1].key", count == 2]
- {action: assert, config: {assertions: ["dear[0].id == 1", "first startsWith '1 of 2: '", "shape.keyed[1].id == 3"]}}
"""

    async def test_names_outside_and_kept_are_known_and_random_values_differ(self) -> None:
        events = await Local(actions=ACTIONS).run(flow(self.TEXT), variables={"orders": ORDERS, "least": 4})
        assert finished(events).verdict == "passed", outcomes(events)

    def test_the_flow_is_valid_and_unknown_names_are_found(self) -> None:
        known = {"orders", "least"}
        assert read_flow(flow(self.TEXT), actions=ACTIONS, known_variables=known)[1] == ()
        wrong = self.TEXT.replace("len(dear)}", "len(deer)}")
        with pytest.raises(Exception, match='Nothing defines "deer"'):
            read_flow(flow(wrong), actions=ACTIONS, known_variables=known)
        with pytest.raises(Exception, match='Nothing defines "keyd"'):
            read_flow(flow(self.TEXT.replace('"keyed[0]', '"keyd[0]')), actions=ACTIONS, known_variables=known)


async def test_operations_may_be_named_by_type_and_look_at_parts_of_the_input() -> None:
    value = {"user": {"profile": {"name": "ada"}}, "orders": ORDERS, "names": ["x", "y"]}
    operations = [
        {"type": "extract", "path": "user.profile", "save_as": "profile"},
        {"type": "map", "array": "orders", "transform": {"number": "item.id", "who": "item.by"}, "save_as": "mapped"},
        {"type": "filter", "array": "mapped", "condition": "item.who == 'ada'", "save_as": "adas"},
        {"type": "join", "array": "names", "separator": ", ", "save_as": "joined"},
        {"type": "join", "array": "${names}", "separator": "-", "save_as": "given"},
        {
            "type": "format",
            "template": "User ${id} is ${name}",
            "variables": {"id": 7, "name": "${profile.name}"},
            "save_as": "f",
        },
    ]
    async with bench(names={"names": ["p", "q"]}) as steps:
        made = await steps.run(TRANSFORM, {"input": value, "operations": operations})
    assert made["profile"] == {"name": "ada"}
    assert made["mapped"][1] == {"number": 2, "who": "bob"}
    assert [item["number"] for item in made["adas"]] == [1, 3]
    assert (made["joined"], made["given"], made["f"], made["result"]) == ("x, y", "p-q", "User 7 is ada", "User 7 is ada")


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"type": "fliter", "array": "a", "condition": "true"}, "no type 'fliter'"),
        ({"type": "filter", "array": "a"}, "needs condition"),
        ({"type": "filter", "array": "a", "condition": "true", "from": "x"}, "has no key 'from'"),
        ({"type": "filter", "array": "missing", "condition": "true"}, "missing is not defined"),
        ({"type": "format", "template": 5}, "format takes a text"),
        ({"type": "extract", "path": "a", "save_as": "item"}, "save_as must be a name"),
    ],
)
async def test_a_typed_operation_that_cannot_be_done_is_told(operation: Any, message: str) -> None:
    assert message in (await error({"a": [1]}, operation)).message


def test_variables_of_a_format_are_no_unknown_names() -> None:
    text = flow(
        """
- action: transform
  config:
    input: {a: 1}
    operations:
      - {type: format, template: "User ${id}", variables: {id: 5}, save_as: shown}
  assert: [shown == 'User 5']
"""
    )
    assert read_flow(text, actions=ACTIONS)[1] == ()
