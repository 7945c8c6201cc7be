"""Saved runs: the same bytes again, masked, read with distrust; reports, replay, checks and comparisons of them."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Invalid
from interfaces.cli.saved.comparing import _Comparison
from interfaces.cli.saved.recheck import Recheck
from interfaces.cli.saved.replaying import _View
from interfaces.cli.saved.saved_run_reading import read_run
from interfaces.cli.terminal import Paint
from tests.interfaces.cli.conftest import Ran

Testmesh = Callable[..., Ran]

FLOW = """flow:
  name: order
  env: {greeting: "hello ${RANDOM_ID}", with_default: "${FROM_OUTSIDE:none}"}
  steps:
    - id: make
      action: log
      config: {message: "${greeting}"}
      assert: [message == greeting, len(message) > 3, level == 'info', TIMESTAMP > 0, message != with_default]
      assert_none: [message == 'bad']
      output: {said: $.message}
    - id: each
      action: for_each
      config:
        items: [1, 2]
        steps:
          - {id: inner, action: log, config: {message: "${item}"}, assert: ["message == '1' || message == '2'", item > 0]}
    - {id: last, action: log, config: {message: "x ${said}"}, assert: [message contains said, said == greeting, message == 'y']}
"""


@pytest.fixture
def saved(testmesh: Testmesh, folder: Path) -> Path:
    (folder / "f.yaml").write_text(FLOW)
    assert testmesh("run", "f.yaml", "--save", "run.tmrun").code == 1
    return folder / "run.tmrun"


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The run with each event changed."""
    files = entries(path)
    events = [json.loads(line) for line in files["events.jsonl"].splitlines()]
    for event in events:
        change(event)
    files["events.jsonl"] = "".join(json.dumps(event) + "\n" for event in events).encode()
    return packed(path.with_name("changed.tmrun"), files)


class TestFile:
    def test_it_holds_meta_events_and_sources_under_names_of_its_own(self, saved: Path) -> None:
        files = entries(saved)
        assert sorted(files) == ["events.jsonl", "meta.json", "sources/1.yaml"]
        meta = json.loads(files["meta.json"])
        assert (meta["format"], meta["version"], meta["sources"]) == ("testmesh-run", 1, ["f.yaml"])
        assert files["sources/1.yaml"].decode() == FLOW

    def test_the_same_run_is_the_same_bytes(self, saved: Path, tmp_path: Path) -> None:
        from interfaces.cli.saved.saved_run import save_run

        class Runner:
            masks_all = True

            def masked(self, value: Any) -> Any:
                return value

        run = read_run(saved)
        for name in "ab":
            save_run(tmp_path / name, run.executions, run.sources, Runner())
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_secrets_are_masked_also_where_they_were_not_known_yet(self, testmesh: Testmesh, folder: Path) -> None:
        steps = (
            "[{id: a, action: log, config: {message: hunter2-hunter2}},"
            " {id: b, action: log, config: {message: hunter2-hunter2}, output: {t: $.message}, secret_outputs: [t]}]"
        )
        (folder / "s.yaml").write_text(f"flow:\n  name: s\n  steps: {steps}\n")
        arguments = ["--var", "password=from-outside", "--var", "who=given-secret", "--secret", "who", "--save", "s.tmrun"]
        assert testmesh("run", "s.yaml", *arguments).code == 0
        kept = b"".join(entries(folder / "s.tmrun").values())
        assert [word for word in (b"hunter2", b"from-outside", b"given-secret") if word in kept] == []
        assert b"[secret:" in kept

    def test_repeated_and_skipped_flows_are_kept_as_such(self, testmesh: Testmesh, folder: Path) -> None:
        (folder / "a.yaml").write_text(
            "flow:\n  name: a\n  steps: [{action: assert, config: {assertions: ['RANDOM_INT < 0']}}]\n"
        )
        (folder / "b.yaml").write_text("flow:\n  name: b\n  needs: a.yaml\n  steps: [{action: log, config: {message: x}}]\n")
        testmesh("run", ".", "--retries", "1", "--save", "r.tmrun")
        run = read_run(folder / "r.tmrun")
        assert [len(run.executions), len(list(run.executions.everything()))] == [1, 2]
        assert [name for name, _ in run.executions.skipped] == ["b"]
        assert "2 flows: 1 failed, 1 not begun" in testmesh("report", "r.tmrun").out


class TestDistrust:
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda files: files.pop("meta.json"), "no meta.json"),
            (lambda files: files.update({"meta.json": b"[]"}), "does not say so"),
            (lambda files: files.update({"meta.json": b'{"format":"testmesh-run","version":2}'}), "version 2"),
            (lambda files: files.update({"events.jsonl": b"nonsense\n"}), "line 1 of events.jsonl is not JSON"),
            (lambda files: files.update({"events.jsonl": b'{"execution":1}\n'}), "execution"),
            (lambda files: files.update({"events.jsonl": b"[" * 100_000}), "not JSON"),
            (lambda files: files.update({"events.jsonl": b"x" * 2_000_000}), "longer than"),
            (lambda files: files.pop("sources/1.yaml"), "no sources/1.yaml"),
            (lambda files: files.update({"sources/1.yaml": b"x" * 600_000}), "more than"),
        ],
    )
    def test_what_is_not_as_it_must_be_is_told(
        self, testmesh: Testmesh, saved: Path, change: Callable[[dict[str, bytes]], object], says: str
    ) -> None:
        files = entries(saved)
        change(files)
        packed(saved, files)
        ran = testmesh("report", "run.tmrun")
        assert (ran.code, "Traceback" in ran.err) == (2, False)
        assert says in ran.err

    def test_every_field_of_every_event_may_be_missing_or_wrong(self, saved: Path, testmesh: Testmesh, tmp_path: Path) -> None:
        files = entries(saved)
        events = [json.loads(line) for line in files["events.jsonl"].splitlines()]
        for number, event in enumerate(events):
            for holder in _mappings(event):
                for name in list(holder):
                    kept = holder[name]
                    for wrong in (None, -7, 10**15, "x", [1], {"a": 1}, _deep(200)):
                        holder[name] = wrong
                        body = "".join(json.dumps(one) + "\n" for one in events[: number + 1])
                        _read_and_use(packed(tmp_path / "wrong.tmrun", {**files, "events.jsonl": body.encode()}))
                    holder[name] = kept

    @pytest.mark.parametrize("body", [b"", b"x" * 1000, b"PK\x05\x06" + b"\xff" * 18, b"PK\x05\x06" + b"\0" * 18])
    def test_what_is_no_zip_is_told(self, testmesh: Testmesh, folder: Path, body: bytes) -> None:
        (folder / "x.tmrun").write_bytes(body)
        ran = testmesh("replay", "x.tmrun")
        assert (ran.code, "is not a saved run" in ran.err) == (2, True)
        assert "cannot be read" in testmesh("replay", "none.tmrun").err

    def test_a_bomb_is_not_unpacked(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("interfaces.cli.saved.saved_run_reading._WHOLE", 1_000_000)
        files = entries(saved)
        files["events.jsonl"] = files["events.jsonl"] + b" " * 1000 + b"\n" * 2_000_000
        with pytest.raises(Invalid):
            read_run(packed(saved, files))
        files["events.jsonl"] = entries(saved)["events.jsonl"].splitlines(keepends=True)[0] * 3_000
        with pytest.raises(Invalid, match="unpacks to more"):
            read_run(packed(saved, files))

    def test_names_of_files_are_never_paths(self, saved: Path, testmesh: Testmesh, folder: Path) -> None:
        files = entries(saved)
        meta = json.loads(files["meta.json"])
        meta["sources"] = ["../../escaped.yaml"]
        packed(saved, {**files, "meta.json": json.dumps(meta).encode(), "../escaped.yaml": b"x"})
        assert testmesh("report", "run.tmrun", "--report", "o.html").code == 0
        assert not (folder.parent / "escaped.yaml").exists()

    def test_two_entries_of_one_name_are_refused(self, saved: Path) -> None:
        buffer = io.BytesIO(saved.read_bytes())
        with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("meta.json", b"{}")
        saved.write_bytes(buffer.getvalue())
        with pytest.raises(Invalid, match="same name"):
            read_run(saved)


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else 1


def _mappings(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        found += _mappings(inner)
    return found


def _read_and_use(path: Path) -> None:
    """Either it is refused, or everything can be made of it."""
    from interfaces.cli.reports.writers import KINDS, writer

    try:
        run = read_run(path)
    except Invalid:
        return
    for kind in KINDS:
        for _ in writer(kind)(run.executions, run.sources):
            pass
    view = _View(run, Paint(sys.stdout, False))
    view.list(None)
    for execution in run.executions.everything():
        list(Recheck(run).execution(execution))
        view.moment(execution, len(execution.events))
    list(_Comparison(run.executions, run.executions, values=True, ignore=()).lines())


class TestReport:
    def test_any_report_can_be_made_later(self, testmesh: Testmesh, saved: Path, folder: Path) -> None:
        kinds = ["junit=o.xml", "json=o.json", "html=o.html", "markdown=o.md", "gitlab=g.json"]
        assert testmesh("report", "run.tmrun", *[word for kind in kinds for word in ("--report", kind)]).code == 0
        assert 'failures="1"' in (folder / "o.xml").read_text()
        assert json.loads((folder / "o.json").read_text())["executions"][0]["verdict"] == "failed"
        assert "TAP version 14" in testmesh("report", "run.tmrun", "--report", "tap=-").out

    def test_without_a_kind_it_shows_the_results_again(self, testmesh: Testmesh, saved: Path) -> None:
        ran = testmesh("report", "run.tmrun")
        assert "assertion failed: message == 'y'" in ran.out
        assert "1 flow: 1 failed" in ran.out

    def test_what_is_not_in_the_file_is_said(self, testmesh: Testmesh, folder: Path) -> None:
        (folder / "big.yaml").write_text(
            f"flow:\n  name: big\n  steps: [{{id: a, action: log, config: {{message: {'x' * 9000}}}}}]\n"
        )
        testmesh("run", "big.yaml", "--save", "big.tmrun")
        assert "not in big.tmrun: whole results and exchanges of 1 step that" in testmesh("report", "big.tmrun").err


class TestReplay:
    def test_steps_are_listed_with_the_number_of_their_last_event(self, testmesh: Testmesh, saved: Path) -> None:
        lines = testmesh("replay", "run.tmrun").out.splitlines()
        assert lines[0].startswith("1  ✗ failed  order  f.yaml")
        assert any("passed  steps: inner  [log]" in line and line.endswith("each[1]/inner") for line in lines)

    def test_what_was_known_at_an_event(self, testmesh: Testmesh, saved: Path) -> None:
        lines = testmesh("replay", "run.tmrun").out.splitlines()
        (at,) = [line.split()[0] for line in lines if line.endswith("  make")]
        before, after = (testmesh("replay", "run.tmrun", "--at", str(int(at) + more)).out for more in (-2, 0))
        assert 'greeting = "hello ' in before
        assert "said = " not in before
        assert 'said = "hello ' in after
        assert "with_default" not in after
        assert testmesh("replay", "run.tmrun", "--at", "9999").code == 2

    def test_one_step_in_full(self, testmesh: Testmesh, saved: Path) -> None:
        ran = testmesh("replay", "run.tmrun", "--step", "last")
        assert "assertion failed: message == 'y'" in ran.out
        assert "holds: said == greeting" in ran.out
        ran = testmesh("replay", "run.tmrun", "--step", "lst")
        assert (ran.code, 'did you mean "last"?' in ran.err) == (2, True)

    def test_events_one_a_line(self, testmesh: Testmesh, saved: Path) -> None:
        lines = testmesh("replay", "run.tmrun", "--events").out.splitlines()
        assert lines[0].split()[0::2] == ["1", "requested"]
        assert lines[-1].endswith("finished  failed")

    def test_an_execution_is_found_by_number_id_or_name(self, testmesh: Testmesh, saved: Path) -> None:
        id = next(iter(read_run(saved).executions)).id
        for which in ("1", id[:8], "ord"):
            assert testmesh("replay", "run.tmrun", "--events", "--execution", which).code == 0
        assert testmesh("replay", "run.tmrun", "--events", "--execution", "nope").code == 2


class TestCheck:
    def answers(self, path: Path) -> dict[str, str]:
        run = read_run(path)
        return {answer.expression: answer.state for answer in Recheck(run).execution(run.executions[0])}

    def test_what_can_be_told_is_equal_and_the_rest_is_not_guessed(self, testmesh: Testmesh, saved: Path) -> None:
        assert self.answers(saved) == {
            "message == greeting": "equal",
            "len(message) > 3": "equal",
            "level == 'info'": "equal",
            "TIMESTAMP > 0": "unknown",
            "message != with_default": "unknown",
            "message == 'bad'": "equal",
            "message == '1' || message == '2'": "equal",
            "item > 0": "unknown",
            "message contains said": "equal",
            "said == greeting": "equal",
            "message == 'y'": "equal",
        }
        ran = testmesh("replay", "run.tmrun", "--check")
        assert ran.code == 0
        assert "item is not in the record" in ran.out
        assert "13 assertions evaluated again over the record: 9 equal, 0 differ, 4 cannot be re-checked" in ran.out

    def test_a_record_that_was_tampered_with_differs(self, testmesh: Testmesh, saved: Path) -> None:
        def change(event: dict[str, Any]) -> None:
            if event["topic"] == "execution.step_finished" and event["event"]["path"] == "make":
                event["event"]["outcome"]["result"]["level"] = "debug"

        path = changed(saved, change)
        assert self.answers(path)["level == 'info'"] == "differs"
        ran = testmesh("replay", path.name, "--check")
        assert (ran.code, "differs: order > make: level == 'info'" in ran.out) == (1, True)

    def test_masked_values_are_compared_for_equality_and_nothing_else(self, testmesh: Testmesh, folder: Path) -> None:
        steps = """
    - {id: a, action: log, config: {message: "s-${UUID}"}, output: {token: $.message}, secret_outputs: [token]}
    - id: b
      action: log
      config: {message: "${token}"}
      assert: [message == token, len(message) == 38, message startsWith 's-', message != level, "{'x': message}.x == token"]
"""
        (folder / "m.yaml").write_text(f"flow:\n  name: m\n  steps:{steps}")
        assert testmesh("run", "m.yaml", "--save", "m.tmrun").code == 0
        assert self.answers(folder / "m.tmrun") == {
            "message == token": "equal",
            "len(message) == 38": "unknown",
            "message startsWith 's-'": "unknown",
            "message != level": "equal",
            "{'x': message}.x == token": "unknown",
        }

    def test_shortened_values_are_not_judged(self, testmesh: Testmesh, folder: Path) -> None:
        check = "[len(message) == 9000, message != 'x', level == 'info', message matches 'x+']"
        (folder / "big.yaml").write_text(
            f"flow:\n  name: big\n  steps: [{{id: a, action: log, config: {{message: {'x' * 9000}}}, assert: {check}}}]\n"
        )
        assert testmesh("run", "big.yaml", "--save", "big.tmrun").code == 0
        assert self.answers(folder / "big.tmrun") == {
            "len(message) == 9000": "unknown",
            "message != 'x'": "unknown",
            "level == 'info'": "equal",
            "message matches 'x+'": "unknown",
        }

    def test_a_variable_that_was_not_recorded_is_not_replaced_by_the_flows_own(self, testmesh: Testmesh, folder: Path) -> None:
        text = (
            "flow:\n  name: v\n  env: {who: world}\n  steps: [{action: log, config: {message: x}, assert: [who == 'hidden']}]\n"
        )
        (folder / "v.yaml").write_text(text)
        assert testmesh("run", "v.yaml", "--var", "who=hidden", "--secret", "who", "--save", "v.tmrun").code == 0
        assert set(self.answers(folder / "v.tmrun").values()) == {"unknown"}


class TestDiff:
    def test_the_same_flow_twice_has_no_difference(self, testmesh: Testmesh, folder: Path) -> None:
        (folder / "f.yaml").write_text("flow:\n  name: f\n  steps: [{action: log, config: {message: x}}]\n")
        for name in "ab":
            testmesh("run", "f.yaml", "--save", f"{name}.tmrun")
        ran = testmesh("diff", "a.tmrun", "b.tmrun")
        assert (ran.code, ran.out) == (0, "1 flow compared, 0 differences\n")

    def test_ports_that_the_system_chose_are_no_difference_and_others_are(self, testmesh: Testmesh, folder: Path) -> None:
        def differing(*urls: str) -> int:
            for name, url in zip("ab", urls, strict=True):
                text = f"flow:\n  name: f\n  steps: [{{action: log, config: {{message: 'see {url} twice'}}}}]\n"
                (folder / "f.yaml").write_text(text)
                testmesh("run", "f.yaml", "--save", f"{name}.tmrun")
            return testmesh("diff", "a.tmrun", "b.tmrun").code

        assert differing("http://127.0.0.1:32801/a", "http://127.0.0.1:60111/a") == 0
        assert differing("http://127.0.0.1:32801/a", "http://127.0.0.1:60111/b") == 1
        assert differing("http://127.0.0.1:8080/a", "http://127.0.0.1:8081/a") == 1

    def test_secrets_are_not_compared(self, testmesh: Testmesh, folder: Path) -> None:
        step = "{id: a, action: log, config: {message: hunter2-hunter2}, output: {t: $.message}, secret_outputs: [t]}"
        (folder / "f.yaml").write_text(f"flow:\n  name: f\n  steps: [{step}]\n")
        for name in "ab":
            testmesh("run", "f.yaml", "--save", f"{name}.tmrun")
        assert testmesh("diff", "a.tmrun", "b.tmrun").code == 0

    def test_flows_verdicts_steps_and_values(self, testmesh: Testmesh, folder: Path) -> None:
        step = "{{id: one, action: log, config: {{message: '{}'}}, output: {{m: $.message}}, assert: [\"message == 'x'\"]}}"
        for name, text in (("a", "x"), ("b", "y")):
            (folder / "f.yaml").write_text(f"flow:\n  name: f\n  steps: [{step.format(text)}]\n")
            (folder / f"{name}.yaml").write_text(f"flow:\n  name: {name}\n  steps: [{step.format('x')}]\n")
            testmesh("run", "f.yaml", f"{name}.yaml", "--save", f"{name}.tmrun")
        ran = testmesh("diff", "a.tmrun", "b.tmrun")
        assert ran.code == 1
        for line in (
            "- a  a.yaml: not in the new run",
            "+ b  b.yaml: only in the new run",
            "~ f  f.yaml: passed -> failed",
            "~ f  f.yaml > one: passed -> failed",
            '~ f  f.yaml > one: outputs.m: "x" -> "y"',
            '~ f  f.yaml > one: result.message: "x" -> "y"',
        ):
            assert line in ran.out.splitlines()
        assert "outputs" not in testmesh("diff", "a.tmrun", "b.tmrun", "--verdicts").out
        assert "outputs.m" not in testmesh("diff", "a.tmrun", "b.tmrun", "--ignore", "*.m").out
