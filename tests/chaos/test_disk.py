"""A disk that can be filled up is full to the last byte, and one that cannot be had is said to be missing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos import disk as disks
from tests.chaos.breaking import Breaking
from tests.chaos.disk import CannotMount, SmallDisk
from tests.chaos.store_faults import StoreFaults
from tests.chaos.trial import small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        disk = SmallDisk(tmp_path / "postgres", 16)
    except CannotMount as reason:
        pytest.skip(f"a file system cannot be mounted here: {reason}")
    yield disk
    disk.unmount()


def test_a_full_disk_takes_no_byte_more_and_has_room_again_when_it_is_freed(disk: SmallDisk, tmp_path: Path) -> None:
    room, file = disk.left, tmp_path / "postgres" / "file"
    assert room > 8 << 20
    assert disk.fill() == 0
    with pytest.raises(OSError) as refused, file.open("wb") as target:
        target.write(b"x" * 10_000)
    assert refused.value.errno == errno.ENOSPC
    assert disk.free() == room
    file.write_bytes(os.urandom(10_000))


def test_what_is_given_back_meanwhile_is_taken_too(disk: SmallDisk, tmp_path: Path) -> None:
    file = tmp_path / "postgres" / "file"
    file.write_bytes(os.urandom(1 << 20))
    assert disk.fill() == 0
    file.unlink()
    assert disk.left >= 1 << 20
    assert disk.fill() == 0


def test_a_machine_that_mounts_nothing_leaves_the_fault_out_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(disks, "SBIN", "")
    told: list[str] = []
    with small_disk(tmp_path, told.append) as none:
        assert none is None
    assert told == [
        "PostgreSQL's disk will not be filled: this machine does not mount one (mkfs.ext4: No such file or directory)"
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_fault_that_is_left_out_does_not_count_as_done() -> None:
    faults = StoreFaults(cast(Any, SimpleNamespace(disk=None)))
    for fault in (faults.fill_disk, faults.crash_postgres_on_full_disk, faults.fill_disk):
        faults.inject(fault)
    assert faults.done == []
    assert faults.untried == {
        "fill_disk (PostgreSQL has no disk of its own here)": 2,
        "crash_postgres_on_full_disk (PostgreSQL has no disk of its own here)": 1,
    }


def test_a_fault_that_waits_in_vain_is_unproved_while_enough_is_under_way_and_else_not_tried() -> None:
    faults = Breaking(cast(Any, None))

    def fault() -> str:
        faults._until(lambda: False, "something", 0.1 if faults.under_way() else 10)
        return "never"

    with pytest.raises(AssertionError, match="waited in vain for something"):
        faults.inject(fault)
    faults.under_way = lambda: False
    faults.inject(fault)
    assert faults.untried == {"fault (too little was under way for something)": 1}
