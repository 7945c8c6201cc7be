"""snapshot(): what was accepted once stays as it was; json_schema(): where a value does not fit; made-up data by seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from domain.expressions import ExpressionError, Scope, evaluate, explain
from interfaces.adapters.made_up import made_up
from tests.interfaces.cli.conftest import Ran, folder, testmesh  # noqa: F401 - fixtures

Testmesh = Callable[..., Ran]
FLOW = """flow:
  name: shot
  steps:
    - id: s
      action: log
      config: {message: "v${version}"}
      assert:
        - "snapshot({a: version, at: TIMESTAMP_MS, list: [1, {b: UUID}]}, 'answer', ['$.at', '$..b'])"
"""


def test_the_first_value_is_accepted_and_the_next_must_be_the_same(folder: Path, testmesh: Testmesh) -> None:  # noqa: F811
    (folder / "f.yaml").write_text(FLOW)
    assert testmesh("run", "f.yaml", "--var", "version=1").code == 0
    kept = (folder / "__snapshots__" / "f.json").read_text()
    assert '"[ignored]"' in kept
    assert testmesh("run", "f.yaml", "--var", "version=1").code == 0
    ran = testmesh("run", "f.yaml", "--var", "version=2")
    assert ran.code == 1
    assert "$.a: expected '1', got '2'" in ran.out
    assert testmesh("run", "f.yaml", "--var", "version=2", "--update-snapshots").code == 0
    assert testmesh("run", "f.yaml", "--var", "version=2").code == 0


def test_in_ci_nothing_new_is_accepted(folder: Path, testmesh: Testmesh, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("CI", "true")
    (folder / "f.yaml").write_text(FLOW)
    ran = testmesh("run", "f.yaml", "--var", "version=1")
    assert ran.code == 1
    assert "there is no snapshot 'answer'; accept it with --update-snapshots" in ran.out
    assert not (folder / "__snapshots__").exists()


def test_a_secret_never_gets_into_a_snapshot_and_compares_all_the_same(folder: Path, testmesh: Testmesh) -> None:  # noqa: F811
    (folder / "f.yaml").write_text(FLOW.replace("a: version", "a: 'x' + token").replace("v${version}", "v"))
    for _ in range(2):
        assert testmesh("run", "f.yaml", "--var", "token=hunter2-secret", "--secret", "token").code == 0
    assert "x[masked]" in (folder / "__snapshots__" / "f.json").read_text()


class TestJsonSchema:
    SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "m": {"pattern": "^a+$"}}, "required": ["id"]}

    @pytest.mark.parametrize(
        ("body", "fits"), [({"id": 1}, True), ({"id": "1"}, False), ({"m": "b", "id": 2}, False), ([], False)]
    )
    def test_it_tells_whether_a_value_fits(self, body: object, fits: bool) -> None:
        assert evaluate("json_schema(body, schema)", Scope({"body": body, "schema": self.SCHEMA})) is fits

    def test_it_says_where_a_value_does_not_fit(self) -> None:
        found = explain("json_schema(body, schema)", Scope({"body": {"id": "x", "m": "b"}, "schema": self.SCHEMA}))
        assert found.notes == ('$.id: "x" is not of type "integer"', '$.m: "b" does not match "^a+$"')

    def test_a_schema_may_be_text_and_patterns_cannot_hang(self) -> None:
        assert evaluate("json_schema(1, '{\"minimum\": 2}')", Scope({})) is False
        scope = Scope({"body": "a" * 5000 + "!", "schema": {"pattern": "^(a+)+$"}})
        assert evaluate("json_schema(body, schema)", scope) is False

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "strng"},
            "not json",
            5,
            {"$ref": "http://127.0.0.1:1/x"},
            {"$ref": "file:///etc/passwd"},
            {"pattern": "(?=a)"},
        ],
    )
    def test_what_is_no_schema_or_lies_outside_is_an_error(self, schema: object) -> None:
        with pytest.raises(ExpressionError):
            evaluate("json_schema(1, schema)", Scope({"schema": schema}))


class TestMadeUpData:
    def test_the_same_seed_gives_the_same_and_others_differ(self) -> None:
        assert made_up("name", 7) == made_up("name", 7)
        assert len({made_up("email", seed) for seed in range(20)}) > 15

    def test_values_are_plain_data(self) -> None:
        assert isinstance(made_up("date_object", 1), str)
        assert isinstance(made_up("pydecimal", 1), float)

    @pytest.mark.parametrize("name", ["nmae", "__class__", "_factories", "add_provider", "seed_instance", "random", "binary"])
    def test_only_providers_of_data_are_there(self, name: str) -> None:
        with pytest.raises(Exception, match="there is no FAKER"):
            made_up(name, 1)

    def test_flows_reach_it(self, folder: Path, testmesh: Testmesh) -> None:  # noqa: F811
        text = (
            'flow: {name: f, steps: [{action: log, config: {message: "${FAKER.email}"}, assert: ["message contains \'@\'"]}]}'
        )
        (folder / "f.yaml").write_text(text)
        assert testmesh("run", "f.yaml").code == 0
