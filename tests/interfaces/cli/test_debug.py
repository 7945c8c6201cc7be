"""`testmesh debug`: driven through a pipe, and at a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.interfaces.cli.test_terminal import PROGRAM, environ, shell
from tests.support.tied import tied

FLOW = """\
flow:
  name: Steps
  env: {number: 3}
  config: {timeout: 100ms, teardown_timeout: 100ms}
  steps:
    - id: one
      action: log
      config: {message: "number is ${number}"}
      output: {said: message}
    - id: loop
      action: for_each
      timeout: 100ms
      config:
        items: [1, 2]
        steps:
          - id: inner
            action: log
            config: {message: "item ${item}"}
    - id: last
      action: log
      config: {message: end}
      assert: [number == 3]
  teardown:
    - {id: bye, action: log, config: {message: good bye}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.yaml").write_text(FLOW)
    return tmp_path


def debug(folder: Path, *commands: str, arguments: tuple[str, ...] = ("f.yaml",)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "debug", *arguments],
        cwd=folder,
        env=environ(NO_COLOR="1"),
        input="".join(f"{command}\n" for command in commands),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def stops(shown: str) -> list[str]:
    """The steps before which it stopped."""
    lines = [line.split("  ") for line in shown.splitlines() if line.startswith(("f.yaml:", "g.yaml:")) and "[" in line]
    return [parts[1].removeprefix("teardown: ") for parts in lines]


def test_each_step_is_shown_with_its_config_before_it_runs(folder: Path) -> None:
    done = debug(folder, "n", "", "", "n", "n", "n")
    assert done.returncode == 0, done.stderr
    assert stops(done.stdout) == ["one", "loop", "loop[0]/inner", "loop[1]/inner", "last", "bye"]
    assert done.stdout.index("message: number is 3") < done.stdout.index("✓ passed  one")
    assert "1 flow: 1 passed" in done.stdout


def test_it_runs_on_to_breakpoints_by_step_and_by_line(folder: Path) -> None:
    by_id = debug(folder, "c", "c", arguments=("f.yaml", "--break", "inner"))
    assert stops(by_id.stdout) == ["loop[0]/inner", "loop[1]/inner"]
    by_line = debug(folder, "c", arguments=("f.yaml", "--break", "22"))
    assert stops(by_line.stdout) == ["last"]
    added = debug(folder, "b last", "c", "c")
    assert stops(added.stdout) == ["one", "last"]
    inside = debug(folder, "b 22", "c", "c")
    assert stops(inside.stdout) == ["one", "last"]


def test_the_source_of_the_step_can_be_looked_at(folder: Path) -> None:
    shown = debug(folder, "l", "q").stdout
    assert "    6 |     - id: one\n" in shown
    assert "    9 |       output: {said: message}\n" in shown
    assert "   10 |" not in shown


def test_a_step_that_is_not_there_is_no_breakpoint(folder: Path) -> None:
    told = debug(folder, "b lats", "q").stdout
    assert "has no step 'lats' to stop at (did you mean \"last\"?)" in told
    done = debug(folder, arguments=("f.yaml", "--break", "lats"))
    assert done.returncode == 2
    assert 'did you mean "last"?' in done.stderr


def test_a_line_after_the_file_runs_that_step_alone_and_stops_there(folder: Path) -> None:
    done = debug(folder, "c", arguments=("f.yaml:21",))
    assert stops(done.stdout) == ["last"]
    assert "passed  one" not in done.stdout


def test_expressions_variables_and_results_can_be_looked_at(folder: Path) -> None:
    done = debug(folder, "n", "p number + 1", "p one.said", "p nothing", "out", "vars", "n", "bt", "c")
    assert done.returncode == 0
    assert "\n4\n" in done.stdout
    assert '\n"number is 3"\n' in done.stdout
    assert "nothing is not defined" in done.stdout
    assert 'one = {\n  "verdict": "passed"' in done.stdout
    assert '"said": "number is 3"' in done.stdout
    assert "PYTHONPATH" not in done.stdout
    assert "f.yaml:10  Steps: loop  [for_each]\nf.yaml:16  Steps: loop[0]/inner  [log]" in done.stdout


def test_a_step_can_be_left_out(folder: Path) -> None:
    done = debug(folder, "n", "s", "c")
    assert "skipped  loop" in done.stdout
    assert "loop[0]" not in done.stdout
    assert done.returncode == 0


def test_it_stops_at_a_failure_and_runs_the_step_again(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(
        "flow:\n  name: waits for a file\n  steps:\n    - id: rows\n      action: for_each\n"
        "      config: {glob: 'made/*.txt', steps: [{id: one, action: log, config: {message: x}}]}\n"
        "      assert: [count == 1]\n"
    )
    (tmp_path / "made").mkdir()
    with subprocess.Popen(
        tied(*PROGRAM, "debug", "f.yaml"),
        cwd=tmp_path,
        env=environ(NO_COLOR="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("c\n")
        process.stdin.flush()
        shown = ""
        while "expected: 1" not in shown:
            shown += process.stdout.readline()
        (tmp_path / "made" / "a.txt").write_text("x")
        shown, error = process.communicate("r\n", timeout=30)
    assert process.returncode == 0, shown + error
    assert "✓ passed  rows" in shown


def test_a_failure_that_nobody_repairs_stays_one(folder: Path) -> None:
    (folder / "f.yaml").write_text(FLOW.replace("number == 3", "number == 4"))
    done = debug(folder, "c", "bt", "out", "n", "n")
    assert done.returncode == 1
    assert "expected: 4" in done.stdout
    assert '"verdict": "failed"' in done.stdout


@pytest.mark.parametrize("commands", [("n", "q"), ("n",)], ids=["q", "the end of the input"])
def test_quitting_stops_at_once_and_tears_down(folder: Path, commands: tuple[str, ...]) -> None:
    done = debug(folder, *commands)
    assert done.returncode == 130
    assert "passed  one" in done.stdout
    assert "passed  loop" not in done.stdout
    assert "passed  bye" in done.stdout


def test_called_flows_are_gone_through_too(folder: Path) -> None:
    (folder / "g.yaml").write_text(
        "flow:\n  name: Calls\n  steps:\n    - {id: call, action: run_flow, config: {flow: f.yaml}}\n"
    )
    done = debug(folder, "n", "bt", "c", arguments=("g.yaml",))
    assert stops(done.stdout)[:2] == ["call", "call/one"]
    assert "g.yaml:4  Calls: call  [run_flow]\nf.yaml:6  Steps: call/one  [log]" in done.stdout
    assert done.returncode == 0


def test_one_row_of_data_is_gone_through(folder: Path) -> None:
    (folder / "f.yaml").write_text(
        "flow:\n  name: rows\n  data: {rows: [{who: ada}, {who: bob}], key: who}\n"
        "  steps:\n    - {id: one, action: log, config: {message: '${who}'}}\n"
    )
    assert "message: ada" in debug(folder, "c").stdout
    assert "message: bob" in debug(folder, "c", arguments=("f.yaml", "--case", "bob")).stdout
    assert debug(folder, arguments=("f.yaml", "--case", "eve")).returncode == 2


def test_steps_side_by_side_are_asked_for_one_at_a_time(folder: Path) -> None:
    (folder / "f.yaml").write_text(
        "flow:\n  name: beside\n  steps:\n    - id: both\n      action: parallel\n      config:\n        branches:\n"
        "          left: [{id: one, action: log, config: {message: x}}]\n"
        "          right: [{id: two, action: log, config: {message: x}}]\n"
    )
    done = debug(folder, "n", "n", "n")
    assert done.returncode == 0
    assert sorted(stops(done.stdout)) == ["both", "both/left/one", "both/right/two"]


def test_a_flow_from_standard_input_is_refused(folder: Path) -> None:
    done = debug(folder, arguments=("-",))
    assert done.returncode == 2
    assert "give a flow file" in done.stderr


def test_secrets_are_masked(folder: Path) -> None:
    done = debug(
        folder, "p number", "n", "out", "vars", "c", arguments=("f.yaml", "--var", "number=s3cr3t", "--secret", "number")
    )
    assert "s3cr3t" not in done.stdout
    assert "message: number is [secret:" in done.stdout


def test_ctrl_c_at_the_prompt_tears_down_and_leaves_the_terminal_as_it_was(folder: Path) -> None:
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        tied(*PROGRAM, "debug", "f.yaml"),
        cwd=folder,
        env=environ(NO_COLOR="1", TERM="xterm"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    shown = b""
    while b"one> " not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, b"\x03")
    assert process.wait(20) == 130
    assert termios.tcgetattr(theirs) == before
    os.close(theirs)
    rest = b""
    try:
        while part := os.read(ours, 4096):
            rest += part
    except OSError:
        pass
    os.close(ours)
    assert b"passed  bye" not in shown
    assert b"cancelled" in rest


def _take_terminal() -> None:
    """Make the standard input the terminal that Ctrl-C comes from."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_reader_that_goes_away_ends_nothing(folder: Path) -> None:
    done = shell("set -o pipefail; printf 'n\\nn\\nn\\nn\\nn\\nn\\n' | $testmesh debug f.yaml | true", folder)
    assert (done.returncode, done.stderr) == (0, "")
