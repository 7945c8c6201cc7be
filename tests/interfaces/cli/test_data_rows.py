"""Rows of data: each is a case of its own, with a stable key, from a flow or a file of any length."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interfaces.cli.conftest import Ran

Testmesh = Callable[..., Ran]
FLOW = """flow:
  name: people
  data: {data}
  env: {{city: Rome}}
  steps:
    - id: s
      action: log
      config: {{message: "${{name}} of ${{city}}, row ${{row.name}}, ${{flow.case}}"}}
      assert: ["name != 'bob'"]
"""


def said(ran: Ran) -> dict[str, str]:
    """What each case has logged."""
    found = {}
    for execution in json.loads(ran.out)["executions"]:
        found[execution["case"]] = execution["steps"][0]["logs"][0]["message"]
    return found


def test_rows_in_the_flow_are_cases_named_by_number(folder: Path, testmesh: Testmesh) -> None:
    (folder / "f.yaml").write_text(FLOW.format(data="[{name: ada}, {name: eva, city: Bonn}]"))
    ran = testmesh("run", "f.yaml", "--format", "json")
    assert ran.code == 0
    assert said(ran) == {"1": "ada of Rome, row ada, 1", "2": "eva of Bonn, row eva, 2"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "name,city\nada,Rome\n"),
        ("p.tsv", "name\tcity\nada\tRome\n"),
        ("p.json", '[{"name": "ada", "city": "Rome"}]'),
        ("p.jsonl", '{"name": "ada", "city": "Rome"}\n\n'),
    ],
)
def test_rows_come_from_files_beside_the_flow(folder: Path, testmesh: Testmesh, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / "f.yaml").write_text(FLOW.format(data=f"{{file: {name}, key: name}}"))
    assert said(testmesh("run", "f.yaml", "--format", "json")) == {"ada": "ada of Rome, row ada, ada"}


def test_the_command_line_wins_over_a_row_and_a_row_over_the_flow(folder: Path, testmesh: Testmesh) -> None:
    (folder / "f.yaml").write_text(FLOW.format(data="[{name: ada, city: Bonn}]"))
    ran = testmesh("run", "f.yaml", "--format", "json", "--var", "city=Oslo")
    assert said(ran) == {"1": "ada of Oslo, row ada, 1"}


def test_other_rows_can_be_given_and_one_picked(folder: Path, testmesh: Testmesh) -> None:
    (folder / "f.yaml").write_text(FLOW.format(data="{rows: [{name: ada}], key: name}"))
    (folder / "other.csv").write_text("name\nkim\nlee\n")
    ran = testmesh("run", "f.yaml", "--data", "other.csv", "--case", "lee", "--format", "json")
    assert list(said(ran)) == ["lee"]


def test_given_rows_bring_their_names_to_a_flow_that_has_none(folder: Path, testmesh: Testmesh) -> None:
    (folder / "f.yaml").write_text("flow: {name: f, steps: [{action: log, config: {message: '${n} ${row.n}'}}]}")
    (folder / "rows.csv").write_text("n\n7\n")
    assert testmesh("run", "f.yaml", "--data", "rows.csv").code == 0
    (folder / "others.csv").write_text("m\n7\n")
    ran = testmesh("run", "f.yaml", "--data", "others.csv")
    assert ran.code == 2
    assert 'Nothing defines "n"' in ran.out + ran.err


def test_a_failing_row_is_named_and_run_again_alone(folder: Path, testmesh: Testmesh) -> None:
    (folder / "f.yaml").write_text(FLOW.format(data="{rows: [{name: ada}, {name: bob}], key: name}"))
    ran = testmesh("run", "f.yaml", "--report", "junit=out.xml")
    assert ran.code == 1
    assert "people [bob] > steps > s" in ran.out
    assert "testmesh run --case bob --seed" in ran.out
    assert 'name="people [bob]"' in (folder / "out.xml").read_text()
    again = testmesh("run", "f.yaml", "--last-failed", "--format", "json")
    assert list(said(again)) == ["bob"]


@pytest.mark.parametrize(
    ("data", "file", "message"),
    [
        ("gone.csv", None, "gone.csv cannot be read: No such file"),
        ("p.txt", "x", "is no file of rows"),
        ("p.csv", "name,city\nada\n", "p.csv:2: this row has another number of columns"),
        ("p.json", '{"name": 1}', "must hold a list of objects"),
        ("p.json", "[1]", "row 1 is not an object"),
        ("p.jsonl", '{"name": 1}\nnot json\n', "p.jsonl:2: not JSON"),
        ("p.csv", "name,city,name\nada,x,y\n", "p.csv:1: the column 'name' stands there twice"),
        ("{file: p.csv, key: name}", "name;city\nada;x\n", """is the separator ';'? write delimiter: ";" below data"""),
        ("p.csv", "name\tcity\nada\tx\n", """write delimiter: "\\t" below data"""),
        ("p.csv", "na me\nx\n", "'na me' cannot be a name"),
        ("{file: p.csv, key: id}", "name\nx\n", "row 1 has no 'id'"),
        ("{file: p.csv, key: name}", "name\nx\nx\n", "two rows have the key 'x'"),
        ("p.csv", "name\n", "There is no row of data"),
        ("../p.csv", "name\nx\n", "lies outside of the project"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_runs(
    folder: Path, testmesh: Testmesh, data: str, file: str | None, message: str
) -> None:
    home = folder / "project"
    home.mkdir()
    place = data.removeprefix("{file: ").split(",")[0]
    if file is not None:
        (home / place).write_text(file)
    (home / "testmesh.yaml").write_text("project: p\n")
    (home / "f.yaml").write_text(FLOW.format(data=data))
    ran = testmesh("run", "project/f.yaml")
    assert ran.code == 2
    assert message in ran.err
    assert ran.out == ""


def test_an_unknown_column_is_told_by_validation(folder: Path, testmesh: Testmesh) -> None:
    (folder / "p.csv").write_text("nome\nada\n")
    (folder / "f.yaml").write_text(FLOW.format(data="p.csv"))
    ran = testmesh("run", "f.yaml")
    assert ran.code == 2
    assert 'Nothing defines "name"' in ran.err
    assert 'did you mean "nome"' in ran.err


def test_memory_does_not_grow_with_the_rows(folder: Path) -> None:
    (folder / "f.yaml").write_text(FLOW.format(data="few.csv"))
    sizes = []
    for name, rows in (("few.csv", 600), ("many.csv", 4000)):
        (folder / name).write_text("name\n" + "".join(f"u{number}\n" for number in range(rows)))
        argv = ["run", "--progress", "none", "--data", name, "--report", "junit=o.xml", "--report", "jsonl=o.jsonl", "f.yaml"]
        code = f"""
import resource, sys
from interfaces.cli.main import run
assert run({argv!r}) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
        root = str(Path(__file__).parents[3])
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": root, "HOME": str(folder)},
                              capture_output=True, text=True, check=True)  # fmt: skip
        sizes.append(int(done.stdout.splitlines()[-1]))
    assert resource.getpagesize() > 0
    assert sizes[1] < sizes[0] * 1.35
