"""A backup of a living system, restored into an empty one: the same events, the same read models, and it goes on."""

from __future__ import annotations

import io
import random
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from application import dead_letters, group_places, leases
from application.actions.registry import ACTIONS
from application.audit import audit
from application.claims import claim
from application.executions import RunRequest
from application.flow_documents import read_flow
from application.flows import Document
from application.ports import RunCommand
from application.seals import SignedSeal, newest, signing_key
from application.sweeper import Sweeper
from domain.errors import Conflict, Invalid, NotFound
from domain.execution import Execution
from interfaces.backup import reading, restoring
from interfaces.backup.layout import HEAD, PARTS
from interfaces.backup.writing import digest_of, write_backup
from interfaces.bootstrap import Platform, make_key
from interfaces.cli.main import run
from interfaces.settings import Settings
from projections.projector import Projector
from projections.rebuild import checksum
from projections.registry import LOGS, PROJECTIONS, for_log
from tests.support.events import BY, events_of_attempt
from tests.support.served import FLOW

pytestmark = pytest.mark.servers
Made = Callable[[], Platform]


@pytest.fixture
def new_platform(fresh_database: Callable[[], str], tmp_path: Path) -> Iterator[Made]:
    """Makes a platform over a new and empty database; all have one key file."""
    make_key(tmp_path / "key")
    made: list[Platform] = []

    def make() -> Platform:
        made.append(Platform(Settings(database_url=fresh_database(), key_file=str(tmp_path / "key"))))
        return made[-1]

    yield make
    for platform in made:
        platform.close()


@pytest.fixture
def lived_in(new_platform: Made) -> Platform:
    """A platform with a workspace, a key, flows, executions in every state, and a dead letter."""
    platform = new_platform()
    platform.migrate()
    platform.identity.first_contact()
    platform.flows.push(BY, "w", "", [Document("greet.yaml", FLOW)])
    for _ in range(3):
        finish(platform, request(platform))
    request(platform)
    dead_letters.park(platform.database("executions"), "1-0", {b"\xff": b"\x00"}, "nonsense", "w")
    project(platform)
    return platform


def request(platform: Platform) -> Execution:
    definition, _ = read_flow(FLOW, file="greet.yaml", actions=ACTIONS)
    id, _ = platform.executions.request(BY, RunRequest("w", definition, FLOW, variables={"quote": 'tab\t"\\ \u2028'}))
    return platform.logs["executions"].load(Execution, id)


def finish(platform: Platform, execution: Execution) -> None:
    platform.logs["executions"].put(events_of_attempt(execution))


def project(platform: Platform) -> None:
    for log in LOGS:
        database = platform.readers(log)
        Projector(database.pool, database.connect, log, for_log(log), platform.logs[log].read).catch_up()


def back_up(platform: Platform, path: Path, **options: Any) -> Path:
    write_backup(path, platform.settings.database_of, platform.key, **options)
    return path


def restored(path: Path, platform: Platform) -> Platform:
    with reading.open_backup(path) as backup:
        restoring.restore(platform, backup)
    return platform


def rows(platform: Platform, table: str, order: str = "1, 2") -> list[Any]:
    with psycopg.connect(platform.settings.database_url) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY {order}".encode()).fetchall()


def read_models(platform: Platform) -> dict[str, str]:
    return {p.name: checksum(platform.readers(p.log).pool, p) for p in PROJECTIONS}


def test_what_is_restored_is_what_was_there(lived_in: Platform, new_platform: Made, tmp_path: Path) -> None:
    path = back_up(lived_in, tmp_path / "b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = restored(path, new_platform())
    for part in PARTS:
        if part.table not in ("tracking", "leases"):
            assert rows(other, f"{part.log}.{part.table}") == rows(lived_in, f"{part.log}.{part.table}"), part.name
    assert len(rows(other, "executions.events")) > 10
    assert read_models(other) == read_models(lived_in)
    execution = other.logs["executions"].read(0, 1)[0].event
    assert other.executions.source(other.executions.get("w", execution.originator_id)) == FLOW


def test_domains_may_have_moved_to_other_databases_in_between(lived_in: Platform, new_platform: Made, tmp_path: Path) -> None:
    one, two = new_platform(), new_platform()
    apart = Platform(replace(one.settings, log_urls={"executions": two.settings.database_url}))
    restored(back_up(lived_in, tmp_path / "b"), apart)
    assert read_models(apart) == read_models(lived_in)
    third = restored(back_up(apart, tmp_path / "c"), new_platform())
    assert read_models(third) == read_models(lived_in)
    assert rows(third, "executions.events") == rows(lived_in, "executions.events")
    apart.close()


def test_the_restored_system_goes_on_where_the_log_ended(lived_in: Platform, new_platform: Made, tmp_path: Path) -> None:
    other = restored(back_up(lived_in, tmp_path / "b"), new_platform())
    head = other.logs["executions"].head()
    finish(other, request(other))
    assert [recorded.position for recorded in other.logs["executions"].read(head, 2)] == [head + 1, head + 2]
    project(other)


def test_a_backup_beside_writers_is_one_moment_of_the_log(lived_in: Platform, new_platform: Made, tmp_path: Path) -> None:
    enough, begun = threading.Event(), threading.Event()

    def write() -> None:
        while not enough.is_set():
            finish(lived_in, request(lived_in))
            begun.set()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        assert begun.wait(10)
        before = lived_in.logs["executions"].head()
        path = back_up(lived_in, tmp_path / "b")
        after = lived_in.logs["executions"].head()
    finally:
        enough.set()
        for writer in writers:
            writer.join()
    other = restored(path, new_platform())
    head = other.logs["executions"].head()
    assert before <= head <= after
    whole = rows(lived_in, "executions.events", "notification_id")
    assert rows(other, "executions.events", "notification_id") == [row for row in whole if row[4] <= head]
    with psycopg.connect(other.settings.database_url) as connection:
        named = connection.execute("SELECT convert_from(state, 'UTF8') FROM executions.events WHERE originator_version = 1")
        wanted = {orjson.loads(row[0])["document"]["id"] for row in named.fetchall()}
    assert wanted <= {row[1] for row in rows(other, "executions.payloads")}, "a document is missing"


def test_who_was_under_way_is_lost_and_started_again_by_its_policy(
    lived_in: Platform, new_platform: Made, tmp_path: Path
) -> None:
    execution = request(lived_in)
    assert claim(lived_in.logs["executions"], RunCommand(execution.id, 1), "gone") is not None
    with psycopg.connect(lived_in.settings.database_url, autocommit=True) as connection:
        connection.execute("UPDATE executions.leases SET beat = clock_timestamp() - interval '20 s'")
    other = restored(back_up(lived_in, tmp_path / "b"), new_platform())
    queue: Any = None
    sweeper = Sweeper(other.logs["executions"], queue, list, lambda head: True)
    sweeper.sweep_leases()
    sweeper.sweep_leases()
    loaded = other.executions.get("w", execution.id)
    assert (loaded.status, loaded.attempt, loaded.lost) == ("queued", 2, 1)


def test_a_lock_that_was_held_is_still_held(lived_in: Platform, new_platform: Made, tmp_path: Path) -> None:
    text = FLOW + "lock: db\n"
    definition, _ = read_flow(text, file="locked.yaml", actions=ACTIONS)
    first, second = (lived_in.executions.request(BY, RunRequest("w", definition, text))[0] for _ in range(2))
    assert claim(lived_in.logs["executions"], RunCommand(first, 1), "gone") is not None
    other = restored(back_up(lived_in, tmp_path / "b"), new_platform())
    with other.database("executions").pool.connection() as connection:
        places = group_places.places(connection, "w", "db")
    assert [(place.execution, place.held_since is not None) for place in places] == [(first, True), (second, False)]
    assert claim(other.logs["executions"], RunCommand(second, 1), "new") is None


def test_the_time_between_backup_and_restore_does_not_count_as_the_time_of_a_run(
    lived_in: Platform, new_platform: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = request(lived_in)
    assert claim(lived_in.logs["executions"], RunCommand(execution.id, 1), "gone") is not None
    with psycopg.connect(lived_in.settings.database_url, autocommit=True) as connection:
        left = "SELECT deadline - clock_timestamp() FROM executions.leases"
        before = connection.execute(left).fetchone()
    path = back_up(lived_in, tmp_path / "b")
    with reading.open_backup(path) as backup:
        shift = restoring._shift_leases
        monkeypatch.setattr(restoring, "_shift_leases", lambda c, at: shift(c, at.replace("20", "19", 1)))  # a century ago
        other = new_platform()
        restoring.restore(other, backup)
    with psycopg.connect(other.settings.database_url, autocommit=True) as connection:
        after = connection.execute(left).fetchone()
        assert after is not None
        assert before is not None
        assert after[0].days > 36_000
        assert [lost.over_deadline for lost in leases.lost(connection)] == []


def test_a_database_that_holds_something_is_not_touched(lived_in: Platform, new_platform: Made, tmp_path: Path) -> None:
    path = back_up(lived_in, tmp_path / "b")
    other = new_platform()
    other.migrate()
    other.identity.first_contact()
    before = rows(other, "identity.events")
    with pytest.raises(Conflict, match=r"not empty: identity\.events") as refused, reading.open_backup(path) as backup:
        restoring.restore(other, backup)
    assert "TESTMESH_DATA_DIR" in str(refused.value.remedy)
    assert rows(other, "identity.events") == before
    assert rows(other, "executions.events") == []


def test_a_database_in_use_is_said_and_rows_that_do_not_fit_leave_nothing(
    lived_in: Platform, new_platform: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = back_up(lived_in, tmp_path / "b")
    other = new_platform()
    other.migrate()
    with reading.open_backup(path) as backup:
        with psycopg.connect(other.settings.database_url) as server:
            server.execute("SELECT 1 FROM executions.events")
            with pytest.raises(Conflict, match="in use"):
                restoring.restore(other, backup)
        monkeypatch.setattr(backup, "chunks", lambda part: iter([b"no row\n"] if part == "identity/events" else []))
        with pytest.raises(Invalid, match="do not fit"):
            restoring.restore(other, backup)
    restoring.check_empty(other)


def test_a_backup_never_overwrites_a_file_and_leaves_none_behind_when_it_fails(new_platform: Made, tmp_path: Path) -> None:
    platform = new_platform()
    there = sorted(tmp_path.iterdir())
    with pytest.raises(NotFound, match="has no table"):
        back_up(platform, tmp_path / "b")
    assert sorted(tmp_path.iterdir()) == there
    (tmp_path / "b").write_text("mine")
    with pytest.raises(Conflict, match="exists already"):
        back_up(platform, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "mine"


def refused(path: Path) -> str:
    """The code with which a file is refused."""
    with pytest.raises((Invalid, Conflict)) as error, reading.open_backup(path):
        pass
    return str(error.value.code)


def test_any_flipped_bit_is_refused(lived_in: Platform, tmp_path: Path) -> None:
    whole = bytearray(back_up(lived_in, tmp_path / "b").read_bytes())
    chance = random.Random(5)
    places = [*range(150), *range(len(whole) - 150, len(whole)), *(chance.randrange(len(whole)) for _ in range(300))]
    damaged = tmp_path / "damaged"
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        damaged.write_bytes(flipped)
        assert refused(damaged) == "damaged_backup", place


@pytest.mark.parametrize("size", [0, 1, 100, -1, -64, -1000])
def test_half_a_file_is_refused(lived_in: Platform, tmp_path: Path, size: int) -> None:
    path = back_up(lived_in, tmp_path / "b")
    path.write_bytes(path.read_bytes()[:size])
    assert refused(path) == "damaged_backup"


def changed(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The backup with other members, properly closed."""
    made = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        new.comment = b"0" * 64
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    made.seek(made.getbuffer().nbytes - 64)
    made.write(digest_of(made, made.getbuffer().nbytes - 64).encode())
    path.write_bytes(made.getvalue())
    return path


def test_a_newer_format_is_refused_with_the_version_that_can_read_it(lived_in: Platform, tmp_path: Path) -> None:
    newer = orjson.dumps({"format": 3, "testmesh": "9.8.7"})
    path = changed(back_up(lived_in, tmp_path / "b"), lambda name, text: newer if name == HEAD else text)
    with (
        pytest.raises(Conflict, match=r"format 3, made by TestMesh 9\.8\.7; .* up to format 2") as error,
        reading.open_backup(path),
    ):
        pass
    assert error.value.remedy == "restore it with TestMesh 9.8.7 or newer"


def test_a_file_of_the_format_without_seals_is_read_and_what_it_restores_is_sealed_anew(
    lived_in: Platform, new_platform: Made, tmp_path: Path
) -> None:
    lived_in.sealer.seal("executions")

    def without_seals(name: str, text: bytes) -> bytes:
        if name == HEAD:
            return orjson.dumps({"format": 1, "testmesh": "0.1.0"})
        if name != "manifest.json":
            return text
        manifest = orjson.loads(text)
        manifest["parts"] = {part: held for part, held in manifest["parts"].items() if not part.endswith("/seals")}
        return orjson.dumps(manifest)

    other = restored(changed(back_up(lived_in, tmp_path / "b"), without_seals), new_platform())
    assert rows(other, "executions.seals", "1") == []
    assert other.sealer.seal("executions") == len(rows(other, "executions.events"))


def test_a_restored_log_verifies_and_its_seals_go_on(lived_in: Platform, new_platform: Made, tmp_path: Path) -> None:
    sealed = {log: lived_in.sealer.seal(log) for log in LOGS}
    assert sealed["executions"] > 10
    assert min(sealed["flows"], sealed["identity"]) > 0
    kept = [found for log in LOGS if (found := newest_seal(lived_in, log))]
    other = restored(back_up(lived_in, tmp_path / "b"), new_platform())
    request(other)
    assert other.sealer.seal("executions") > 0
    for log in LOGS:
        with other.auditors(log).connect() as connection:
            seen = audit(connection, log, signing_key(other.key).public_key(), kept)
        assert (seen.finding, seen.unsealed) == (None, 0), log
        assert seen.seals == {"executions": 2, "schedules": 0}.get(log, 1), log


def newest_seal(platform: Platform, log: str) -> SignedSeal | None:
    with platform.auditors(log).connect() as connection:
        return newest(connection, log)


def test_rows_that_the_manifest_does_not_name_are_refused(lived_in: Platform, tmp_path: Path) -> None:
    path = back_up(lived_in, tmp_path / "b")
    with reading.open_backup(changed(path, lambda name, text: text)):
        pass
    more = changed(path, lambda name, text: text * 2 if name == "identity/events" else text)
    assert refused(more) == "damaged_backup"


@contextmanager
def environment(monkeypatch: pytest.MonkeyPatch, platform: Platform, key_file: Path) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TESTMESH_DATABASE_URL", platform.settings.database_url)
        patch.setenv("TESTMESH_KEY_FILE", str(key_file))
        yield


def test_the_key_file_is_needed_named_and_in_the_file_only_when_asked_for(
    lived_in: Platform, new_platform: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right, wrong, new = tmp_path / "key", tmp_path / "wrong", tmp_path / "new"
    make_key(wrong)
    with environment(monkeypatch, lived_in, right):
        assert run(["admin", "backup", str(tmp_path / "without")]) == 0
        assert f"the key file {right} is not in it: keep a copy elsewhere" in capsys.readouterr().err
        assert run(["admin", "backup", str(tmp_path / "with"), "--with-key-file"]) == 0
    key = right.read_bytes().strip()
    for name in ("with", "without"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert any(key in archive.read(member) for member in archive.namelist()) == (name == "with")
    target = new_platform()
    with environment(monkeypatch, target, new):
        assert run(["admin", "restore", str(tmp_path / "without")]) == 2
        assert f"copy the key file, which was named when the backup was made, to {new}" in capsys.readouterr().err
    with environment(monkeypatch, target, wrong):
        assert run(["admin", "restore", str(tmp_path / "with")]) == 2
        assert f"{wrong} is not the key file of this backup" in capsys.readouterr().err
    with environment(monkeypatch, target, new):
        assert run(["admin", "restore", str(tmp_path / "with")]) == 0, capsys.readouterr().err
        assert new.read_bytes().strip() == key
        assert stat.S_IMODE(new.stat().st_mode) == 0o600
        assert run(["admin", "restore", str(tmp_path / "with")]) == 2
        assert "the database is not empty" in capsys.readouterr().err
