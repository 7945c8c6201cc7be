"""What goes with a flow to workers: what it names and lies in the project; of the rest a warning tells the line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from domain.errors import LimitExceeded
from domain.limits import LIMITS
from interfaces.cli.planning.bundling import Bundler, Found
from interfaces.cli.sending import sent_files

CALLED = "flow: {name: %s, steps: [{action: transform, config: {input_file: %s, operations: [count]}}]}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, which is the working folder."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "testmesh.yaml").write_text("project: p\n")
    (tmp_path / "secret.json").write_text("[1]")
    monkeypatch.chdir(project)
    return project


def put(home: Path, **files: str) -> None:
    """Files of the project by path."""
    for name, content in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def found(steps: str, file: str = "flows/a.yaml", **head: str) -> Found:
    """What goes with a flow of these steps."""
    more = "".join(f"  {key}: {value}\n" for key, value in head.items())
    return Bundler(Path.cwd()).found(f"flow:\n  name: a\n{more}  steps:\n{steps}", file)


def step(action: str, **config: Any) -> str:
    return f"    - {{action: {action}, config: {config}}}\n".replace("'{", "{").replace("}'", "}")


def transform(path: str) -> str:
    return step("transform", input_file=path, operations=["count"])


def call(flow: str) -> str:
    return step("run_flow", flow=flow)


def paths(given: Found) -> list[str]:
    return sorted(given.bundle.files)


def test_files_count_from_the_project_and_those_of_the_flow_itself_from_its_folder(home: Path) -> None:
    put(home, **{"data/u.json": "1", "flows/own.env": "A=1", "all.env": "A=2", "flows/rows.csv": "a\n1\n"})
    given = found(transform("data/u.json"), env_file="[own.env, ../all.env]", data="{file: rows.csv}")
    assert paths(given) == ["all.env", "data/u.json", "flows/own.env", "flows/rows.csv"]
    assert (given.bundle.path, given.warnings) == ("flows/a.yaml", [])
    assert given.bundle.files["data/u.json"] == b"1"


def test_rows_that_nothing_else_names_are_not_needed_by_a_single_run(home: Path) -> None:
    put(home, **{"flows/rows.csv": "a\n1\n"})
    assert found(transform("flows/rows.csv"), data="{file: rows.csv}").rows is None
    given = found(step("log", message="x"), data="{file: rows.csv}")
    assert (paths(given), given.without_rows.files) == (["flows/rows.csv"], {})


def test_called_flows_come_with_what_they_name_and_call(home: Path) -> None:
    put(
        home,
        **{
            "flows/one.yaml": CALLED % ("one", "1.json"),
            "parts/two.yaml": CALLED % ("two", "2.json"),
            "parts/three.yaml": "flow: {name: three, steps: [{action: run_flow, config: {flow: two.yaml}}]}",
            "1.json": "1",
            "2.json": "2",
        },
    )
    assert paths(found(call("one.yaml") + call("three"))) == [
        "1.json",
        "2.json",
        "flows/one.yaml",
        "parts/three.yaml",
        "parts/two.yaml",
    ]


def test_flows_that_call_one_another_in_a_circle_come_once(home: Path) -> None:
    put(home, **{"flows/b.yaml": "flow: {name: b, steps: [{action: run_flow, config: {flow: b.yaml}}]}"})
    assert paths(found(call("b.yaml"))) == ["flows/b.yaml"]


def test_a_called_flow_that_is_broken_comes_along_as_it_is(home: Path) -> None:
    put(home, **{"flows/b.yaml": "flow: 1"})
    assert paths(found(call("b.yaml"))) == ["flows/b.yaml"]


def test_a_pattern_brings_the_files_that_are_like_it(home: Path) -> None:
    put(home, **{"data/1.json": "", "data/deep/2.json": "", "data/3.txt": ""})
    (home / "data/link.json").symlink_to(home.parent / "secret.json")
    text = "    - action: for_each\n      config: {glob: 'data/**/*.json', steps: [{action: log, config: {message: x}}]}\n"
    assert paths(found(text)) == ["data/1.json", "data/deep/2.json"]


def test_snapshots_of_the_flow_come_along(home: Path) -> None:
    put(home, **{"flows/__snapshots__/a.json": "{}", "flows/__snapshots__/b.json": "{}"})
    assert paths(found(step("log", message="x"))) == ["flows/__snapshots__/a.json"]


def test_what_a_proto_file_imports_comes_along(home: Path) -> None:
    put(
        home,
        **{
            "proto/a.proto": 'syntax = "proto3";\nimport "google/protobuf/any.proto";\nimport public "shop/b.proto";\n',
            "proto/shop/b.proto": 'import "c.proto";',
            "c.proto": "import 'proto/a.proto';",
        },
    )
    given = found(step("grpc_call", address="a:1", service="s", method="m", proto_file="proto/a.proto"))
    assert (paths(given), given.warnings) == (["c.proto", "proto/a.proto", "proto/shop/b.proto"], [])


def test_a_database_comes_along_when_it_is_there(home: Path) -> None:
    put(home, **{"there.db": ""})
    given = found("".join(step("sqlite.query", connection=name, query="SELECT 1") for name in ("there.db", "new.db")))
    assert (paths(given), given.warnings) == (["there.db"], [])


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("${kind}.json", "What a template names does not go to workers"),
        ("missing.json", 'There is no file "missing.json"'),
        ("../secret.json", "outside of the project"),
        ("data/../../secret.json", "outside of the project"),
        ("/etc/passwd", "outside of the project"),
        ("/proc/self/environ", "outside of the project"),
        (".", "outside of the project"),
        ("link.json", "leads out of the project"),
        ("links/secret.json", "leads out of the project"),
        ("folder", 'There is no file "folder"'),
        ("back\\\\slash.json", "is not a path inside a project"),
    ],
)
def test_what_cannot_go_along_is_told_with_its_place(home: Path, name: str, warning: str) -> None:
    put(home, **{"folder/x": "", "back\\slash.json": ""})
    (home / "link.json").symlink_to(home.parent / "secret.json")
    (home / "links").symlink_to(home.parent)
    text = f'    - {{action: transform, config: {{input_file: "{name}", operations: [count]}}}}\n'
    given = found(step("log", message="x") + text)
    assert paths(given) == []
    (told,) = given.warnings
    assert (told.file, told.line, told.severity) == ("flows/a.yaml", 5, "warning")
    assert warning in told.title


@pytest.mark.parametrize(
    ("action", "config"),
    [
        ("transform", "{input_file: %s, operations: [count]}" % ("x" * 300)),
        ("run_flow", "{flow: %s.yaml}" % ("x" * 300)),
        ("transform", "{input_file: loop/x.json, operations: [count]}"),
        ("for_each", "{glob: '', steps: [{action: log, config: {message: x}}]}"),
        ("for_each", "{glob: '**x', steps: [{action: log, config: {message: x}}]}"),
        ("for_each", "{glob: '../*', steps: [{action: log, config: {message: x}}]}"),
    ],
)
def test_names_that_no_file_can_have_are_told_too(home: Path, action: str, config: str) -> None:
    (home / "loop").symlink_to("loop")
    given = found(f"    - action: {action}\n      config: {config}\n")
    assert (paths(given), len(given.warnings)) == ([], 1)


def test_a_link_inside_the_project_is_followed(home: Path) -> None:
    put(home, **{"real.json": "1"})
    (home / "link.json").symlink_to("real.json")
    assert found(transform("link.json")).bundle.files == {"link.json": b"1"}


def test_a_device_is_no_file(home: Path) -> None:
    os.mkfifo(home / "pipe.json")
    given = found(transform("pipe.json"))
    assert (paths(given), len(given.warnings)) == ([], 1)


def test_a_file_over_the_limit_is_refused_and_rows_over_it_stay_here(home: Path) -> None:
    put(home, **{"flows/big.json": "x" * (LIMITS.bundle_file_bytes + 1)})
    with pytest.raises(LimitExceeded, match=r"flows/big.json has 1,048,577 bytes"):
        found(transform("flows/big.json"))
    given = found(step("log", message="x"), data="{file: big.json}")
    assert (paths(given), len(given.warnings)) == ([], 1)


def test_too_many_files_are_refused(home: Path) -> None:
    put(home, **{f"data/{number}.json": "" for number in range(LIMITS.bundle_files + 1)})
    with pytest.raises(LimitExceeded, match="may name 200 files"):
        found("    - action: for_each\n      config: {glob: 'data/*', steps: [{action: log, config: {message: x}}]}\n")


def test_files_are_sent_as_text_where_that_is_possible() -> None:
    sent = sent_files({"b": b"\xff", "a": "ä\r\n".encode(), "c": b"a\0"})
    assert sent == [{"path": "a", "text": "ä\r\n"}, {"path": "b", "base64": "/w=="}, {"path": "c", "base64": "YQA="}]
