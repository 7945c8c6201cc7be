"""What a command line asks a server for, before there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Invalid
from interfaces.cli.planning.plan import plan
from interfaces.cli.running.remote_flows import RemoteFlows
from interfaces.cli.running.suite_request import LocalSuite, common, parse_matrix, selection
from tests.interfaces.cli.conftest import Ran

OPTIONS: dict[str, Any] = {
    "timeout": None,
    "max_duration": None,
    "matrix": (),
    "fail_fast": False,
    "jobs": None,
    "seed": None,
    "suite": None,
    "tags": None,
}
OPTIONS |= {"priority": None, "runs_on": (), "queue_timeout": None}


class Server:
    """A server on which these flows were pushed; it answers what is asked about flows."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = rows

    def room(self, path: str) -> str:
        return path

    def get(self, path: str, *, called: str) -> dict[str, Any]:
        return {"items": [row for row in self._rows if row["path"] == called]}


def body(*paths: str, server: Server | None = None, **options: Any) -> dict[str, Any]:
    flows, _ = plan(paths, options, strict=True)
    return LocalSuite(flows, RemoteFlows(flows), own_rows=not options.get("data")).body(server or Server())  # type: ignore[arg-type]


def test_a_matrix_is_read_and_what_is_none_refused() -> None:
    assert parse_matrix(["browser=a, b", "site=x"]) == {"browser": ["a", "b"], "site": ["x"]}
    for wrong in (["browser"], ["=a"], ["a=1", "a=2"]):
        with pytest.raises(Invalid, match="--matrix"):
            parse_matrix(wrong)


def test_options_become_fields_where_they_are_given() -> None:
    assert common(OPTIONS) == {"trigger": "cli", "matrix": {}, "fail_fast": False}
    asked = common({**OPTIONS, "jobs": "7", "seed": "s", "fail_fast": True})
    assert (asked["parallel"], asked["seed"], asked["fail_fast"]) == (7, "s", True)
    assert "parallel" not in common({**OPTIONS, "jobs": "auto"})
    assert common({**OPTIONS, "timeout": 90.0})["timeout"] == common({**OPTIONS, "max_duration": 90.0})["timeout"] == "90s"


def test_a_selection_has_what_is_given_and_one_folder_at_most() -> None:
    chosen = selection(["flows"], {**OPTIONS, "tags": "smoke"}, {"n": 1}, "shop")
    assert chosen == {"tags": "smoke", "folder": "flows", "project": "shop", "variables": {"n": 1}}
    with pytest.raises(Invalid, match="one folder"):
        selection(["a", "b"], OPTIONS, {}, None)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "testmesh.yaml").write_text("project: shop\nvariables: {who: eva}\n")
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    steps = "  steps:\n    - {action: log, config: {message: '${n}'}}\n"
    (tmp_path / "a.yaml").write_text(f"flow:\n  name: rows\n  data: {{file: rows.csv}}\n  needs: [b.yaml]\n{steps}")
    (tmp_path / "b.yaml").write_text("flow:\n  name: b\n  steps:\n    - {action: log, config: {message: '${who}'}}\n")
    return tmp_path


def test_flows_that_were_not_pushed_go_along_with_their_rows(project: Path) -> None:
    asked = body("a.yaml", variables=("v=1",))
    assert [member["document"] for member in asked["members"]] == ["b.yaml", "a.yaml"]
    assert asked["members"][1]["rows"] == [{"key": str(n), "values": {"n": str(n)}} for n in (1, 2)]
    assert [document["files"] for document in asked["documents"]] == [[], []]
    assert (asked["variables"], asked["members"][0]["variables"]) == ({"v": "1"}, {"who": "eva"})
    assert (asked["project"], asked["files"]) == ("shop", [])


def test_flows_that_were_pushed_as_they_are_go_by_their_id_and_the_server_has_their_rows(project: Path) -> None:
    from application.bundles import revision_digest

    text, files = (project / "a.yaml").read_text(), {"rows.csv": (project / "rows.csv").read_bytes()}
    row = {"id": "7", "revision": 3, "path": "a.yaml", "project": "shop", "archived": False}
    server = Server({**row, "digest": revision_digest(text, files)})
    member = body("a.yaml", server=server)["members"][1]
    assert member == {"variables": {"who": "eva"}, "flow": "7", "revision": 3}
    (project / "other.csv").write_text("n\n5\n")
    member = body("a.yaml", server=server, data="other.csv")["members"][1]
    assert member["rows"] == [{"key": "1", "values": {"n": "5"}}]
    stale = body("a.yaml", server=Server({**row, "digest": "other"}))["members"][1]
    assert stale["document"] == "a.yaml"


def test_what_works_here_alone_is_refused_with_remote(testmesh: Callable[..., Ran], folder: Path) -> None:
    (folder / "good.yaml").write_text("flow:\n  name: g\n  steps:\n    - {action: log, config: {message: x}}\n")
    for option in (("--repeat", "2"), ("--shard", "1/2"), ("--retries", "1"), ("--max-failures", "1")):
        ran = testmesh("run", "--remote", "good.yaml", *option, "--url", "http://127.0.0.1:9")
        assert (ran.code, f"{option[0]} works in local runs alone" in ran.err) == (2, True), ran.err
    assert "--pushed works with --remote alone" in testmesh("run", "--pushed", "good.yaml").err
