"""`testmesh watch`, as a process beside somebody who edits files."""

from __future__ import annotations

import os
import pty
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interfaces.cli.running.run import run
from interfaces.cli.watching.watch import spelled
from interfaces.cli.watching.watched import Watched
from tests.interfaces.cli.conftest import Ran
from tests.interfaces.cli.test_terminal import PROGRAM, environ
from tests.support.tied import tied

PATIENCE = 30.0
FLOW = "flow:\n  name: {name}\n{more}  steps:\n    - {{action: log, config: {{message: {message}}}, assert: [{check}]}}\n"


def flow(name: str, message: str = "x", *, check: str = "true", more: str = "") -> str:
    return FLOW.format(name=name, message=message, check=check, more=more)


class Session:
    """A watch under way, and everything that it has shown."""

    def __init__(self, folder: Path, *arguments: str, terminal: bool = False) -> None:
        self.shown = ""
        ours, theirs = pty.openpty() if terminal else os.pipe()
        self._ours = ours
        self.process = subprocess.Popen(
            tied(*PROGRAM, "watch", *arguments),
            cwd=folder,
            env=environ(NO_COLOR="1", TERM="xterm", XDG_CACHE_HOME=str(folder / ".cache")),
            stdin=theirs if terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._selector = selectors.DefaultSelector()
        self._selector.register(ours, selectors.EVENT_READ)

    def until(self, text: str) -> str:
        """What is shown up to this text, which is waited for; it counts as read."""
        end = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < end, f"no {text!r} in:\n{self.shown}"
            if self._selector.select(0.1):
                self.shown += os.read(self._ours, 65536).decode().replace("\r\n", "\n")
        before, _, self.shown = self.shown.partition(text)
        return before

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._selector.close()
        os.close(self._ours)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    """Begins a watch in the folder."""
    sessions: list[Session] = []

    def begin(*arguments: str, terminal: bool = False) -> Session:
        sessions.append(Session(tmp_path, *arguments, terminal=terminal))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.close()


Watch = Callable[..., Session]


def test_what_changes_is_run_again_and_nothing_else(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(flow("first"))
    (tmp_path / "b.yaml").write_text(flow("second"))
    session = watch(".")
    assert "2 flows: 2 passed" in session.until("exit code 0")
    (tmp_path / "b.yaml").write_text(flow("second", check="1 == 2"))
    again = session.until("exit code 1")
    assert "changed: b.yaml" in again
    assert "1 flow: 1 failed" in again
    assert session.end() == 1


def test_flows_that_call_or_need_it_and_data_that_it_names_count_too(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "called.yaml").write_text(flow("called"))
    (tmp_path / "calls.yaml").write_text(
        "flow:\n  name: calls\n  steps:\n    - {action: run_flow, config: {flow: called.yaml}}\n"
    )
    (tmp_path / "rows.yaml").write_text(flow("rows", "'${who}'", more="  data: rows.csv\n"))
    (tmp_path / "rows.csv").write_text("who\nada\n")
    session = watch("calls.yaml", "rows.yaml")
    session.until("exit code 0")
    (tmp_path / "called.yaml").write_text(flow("called", check="1 == 2"))
    assert "calls.yaml" in session.until("1 flow: 1 failed")
    session.until("exit code 1")
    (tmp_path / "rows.csv").write_text("who\nada\nbob\n")
    assert "rows.csv" in session.until("2 flows: 2 passed")
    session.until("exit code 0")
    assert session.end() == 0


def test_a_broken_flow_is_shown_and_the_watch_goes_on(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(flow("first"))
    session = watch()
    session.until("exit code 0")
    (tmp_path / "a.yaml").write_text("flow:\n  nam")
    assert "a.yaml:2" in session.until("exit code 2")
    (tmp_path / "a.yaml").write_text("")
    session.until("exit code 2")
    (tmp_path / "a.yaml").write_text(flow("first"))
    assert "1 passed" in session.until("exit code 0")


def test_new_flows_are_found_and_gone_ones_forgotten(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(flow("first"))
    session = watch(".")
    session.until("exit code 0")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.yaml").write_text(flow("second"))
    assert "second" in session.until("exit code 0")
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "below" / "b.yaml").write_text(flow("second", check="2 == 1"))
    assert "1 flow: 1 failed" in session.until("exit code 1")


def test_settings_of_the_project_concern_all(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "testmesh.yaml").write_text("variables: {who: ada}\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(flow(name, "'${who}'"))
    session = watch()
    session.until("exit code 0")
    (tmp_path / "testmesh.yaml").write_text("variables: {who: bob}\n")
    assert "2 flows: 2 passed" in session.until("exit code 0")


def test_keys_run_all_or_what_failed_and_end_it(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(flow("first"))
    (tmp_path / "b.yaml").write_text(flow("second", check="1 == 2"))
    session = watch(".", terminal=True)
    assert "\x1b[2J" in session.until("exit code 1")
    session.until("q ends")
    session.press("\r")
    assert "2 flows: 1 passed, 1 failed" in session.until("exit code 1")
    session.until("q ends")
    session.press("f")
    assert "1 flow: 1 failed" in session.until("exit code 1")
    session.until("q ends")
    session.press("q")
    assert session.process.wait(PATIENCE) == 1


def test_ctrl_c_during_a_run_tears_down(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "flow:\n  name: long\n  steps:\n    - {action: delay, config: {duration: 60s}}\n"
        "  teardown:\n    - {id: bye, action: log, config: {message: good bye}}\n"
    )
    session = watch("-v", "--progress", "tree")
    session.until("[delay]")
    assert session.end() == 130
    session.until("good bye")


@pytest.mark.parametrize(
    "words",
    [
        ["-j", "2", "--var", "a=1", "--var", "b= 2", "--shuffle", "-v", "--max-duration", "10m", "-k", "x"],
        ["--shuffle=7", "--tags", "a and not b", "--fail-fast", "--secret", "x", "-e", "stage"],
        [],
    ],
)
def test_options_are_passed_on_as_they_are(words: list[str]) -> None:
    given = run.make_context("run", list(words)).params
    assert run.make_context("run", list(spelled(given))).params == given


def test_a_broken_flow_still_depends_on_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(flow("a", more="  env_file: a.env\n"))
    (tmp_path / "a.env").write_text("x=1\n")
    watched = Watched((), {})
    (tmp_path / "a.yaml").write_text("flow: {")
    assert watched.changed({tmp_path / "a.yaml"}) == ["a.yaml"]
    assert watched.changed({tmp_path / "a.env"}) == ["a.yaml"]
    assert watched.changed({tmp_path / "other"}) == []


def test_what_cannot_be_watched_is_refused(testmesh: Callable[..., Ran]) -> None:
    missing = testmesh("watch", "nowhere.yaml")
    assert missing.code == 2
    assert "nowhere.yaml" in missing.err
    assert testmesh("watch", "-").code == 2
