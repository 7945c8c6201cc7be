"""Folders of workers: swept when nobody holds them, left alone as long as somebody does."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

from application.folders import LOCK, PREFIX, Folders

OTHER = """
import sys
from pathlib import Path
from application.folders import Folders
print(Folders(Path(sys.argv[1])).make(), flush=True)
sys.stdin.read()
"""


def other_process(base: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has a folder, until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    process, folder = other_process(tmp_path)
    (folder / "file").write_text("x")
    own = Folders(tmp_path)
    mine = own.make()
    try:
        assert (own.sweep(), folder.exists(), mine.exists()) == (0, True, True)
        end(process)
        assert (own.sweep(), folder.exists(), mine.exists()) == (1, False, True)
    finally:
        end(process)
        own.close()
    assert list(tmp_path.iterdir()) == []


def test_only_the_user_may_enter(tmp_path: Path) -> None:
    own = Folders(tmp_path)
    folder = own.make()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}
    own.close()


def test_links_and_files_of_such_names_are_left_alone(tmp_path: Path) -> None:
    base, elsewhere = tmp_path / "base", tmp_path / "elsewhere"
    base.mkdir()
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    (base / f"{PREFIX}link").symlink_to(elsewhere)
    (base / f"{PREFIX}file").write_text("x")
    locked = base / f"{PREFIX}locked"
    locked.mkdir()
    (locked / LOCK).symlink_to(elsewhere / "file")
    assert Folders(base).sweep() == 0
    assert (elsewhere / "file").read_text() == "x"
    assert len(list(base.iterdir())) == 3


def test_a_folder_that_is_just_being_made_is_left_alone(tmp_path: Path) -> None:
    young, old = tmp_path / f"{PREFIX}young", tmp_path / f"{PREFIX}old"
    young.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 3600,) * 2)
    assert Folders(tmp_path).sweep() == 1
    assert [path.name for path in tmp_path.iterdir()] == [young.name]


def test_a_folder_that_was_cleaned_away_is_made_anew(tmp_path: Path) -> None:
    own = Folders(tmp_path)
    first = own.make()
    own.remove(first)
    (first.parent / LOCK).unlink()
    first.parent.rmdir()
    assert own.make().is_dir()
    own.close()


def test_a_folder_that_cannot_be_listed_is_no_error(tmp_path: Path) -> None:
    assert Folders(tmp_path / "nowhere").sweep() == 0
