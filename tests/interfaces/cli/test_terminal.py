"""Terminals and pipes: widths, control characters, closed and broken streams, options from the environment."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from interfaces.cli.terminal import cut, one_line, printable
from tests.support.tied import tied

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-P", "-m", "interfaces.cli.main"]
FAILS = (
    'flow:\n  name: "red \\e[31m 日本語"\n  steps:\n    - {id: one, action: log, config: {message: "\\a"}, assert: [1 == 2]}\n'
)


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A flow that fails, with control characters in its name and log."""
    path = tmp_path / "f.yaml"
    path.write_text(FAILS)
    return path


def environ(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", **more}


def shell(line: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $testmesh is the program."""
    program = " ".join(PROGRAM)
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=environ(testmesh=program, **more), capture_output=True, text=True, check=False
    )


def test_control_characters_are_written_out() -> None:
    assert printable("a\x1b[2Jb\rc\u202ed\ud800\n\té 🚀") == "a\\x1b[2Jb\\rc\\u202ed\\ud800\n\té 🚀"
    assert one_line("a\nb\tc") == "a\\nb\\tc"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("short", "short"),
        ("a" * 30, "a" * 18 + "…"),
        ("日" * 15, "日" * 9 + "…"),
        (f"\x1b[31m{'a' * 30}\x1b[0m", f"\x1b[31m{'a' * 18}…\x1b[0m"),
        (f"\x1b[31m{'a' * 15}\x1b[0m", f"\x1b[31m{'a' * 15}\x1b[0m"),
    ],
)
def test_lines_are_cut_to_the_width_that_they_take(line: str, shown: str) -> None:
    assert cut(line, 20) == shown


def test_the_tree_stays_within_a_narrow_terminal(tmp_path: Path) -> None:
    text = (
        f"flow:\n  name: {'long ' * 20}\n  steps:\n    - {{name: {'日本' * 30}, action: delay, config: {{duration: 300ms}}}}\n"
    )
    (tmp_path / "f.yaml").write_text(text)
    shown = on_terminal(40, [*PROGRAM, "run", "f.yaml"], tmp_path)
    pictures = re.split(r"\x1b\[\d+F\x1b\[0J", shown)[:-1]
    lines = [line.rstrip("\r") for picture in pictures for line in picture.split("\n") if "…" in line]
    assert any("日本" in line for line in lines)
    assert all(cut(line, 41) == line for line in lines)


def on_terminal(columns: int, command: list[str], cwd: Path) -> str:
    """What a command writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(tied(*command), cwd=cwd, env=environ(TERM="xterm"), stdout=theirs, stderr=theirs)
    os.close(theirs)
    parts: list[bytes] = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError:
        pass
    os.close(ours)
    process.wait()
    return b"".join(parts).decode()


def test_nothing_of_a_flow_steers_the_terminal(flow: Path) -> None:
    done = shell("$testmesh run -v f.yaml", flow.parent)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
    assert "\x07" not in done.stdout + done.stderr
    assert "red \\x1b[31m 日本語" in done.stderr


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_reader_that_goes_away_does_not_change_the_verdict(flow: Path, form: str) -> None:
    done = shell(f"set -o pipefail; $testmesh run f.yaml --format {form} --report junit=r.xml 2>&1 | true", flow.parent)
    assert (done.returncode, done.stderr) == (1, "")
    assert (flow.parent / "r.xml").exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_do_not_change_the_verdict(flow: Path, closed: str) -> None:
    done = shell(f"$testmesh run f.yaml {closed}", flow.parent)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_said(flow: Path) -> None:
    done = shell("$testmesh run f.yaml > /dev/full", flow.parent)
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_encoding_without_the_characters_is_no_error(flow: Path) -> None:
    done = shell("$testmesh run f.yaml", flow.parent, PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert "\\u2717 failed" in done.stderr


def test_options_have_the_names_that_people_type(flow: Path) -> None:
    done = shell("$testmesh run f.yaml", flow.parent, TESTMESH_OPT_FORMAT="json", TESTMESH_OPT_JOB="3", TESTMESH_API_KYE="x")
    assert done.stdout.startswith("{")
    assert "TESTMESH_OPT_JOB is not an option of `testmesh run`; did you mean TESTMESH_OPT_JOBS?" in done.stderr
    assert "TESTMESH_API_KYE is not a setting; did you mean TESTMESH_API_KEY?" in done.stderr
