"""`testmesh audit` on a real database: 0 when everything is as sealed, 1 with the event named when it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from domain.events import Actor
from interfaces.bootstrap import Platform, make_key
from interfaces.cli import doctor
from interfaces.cli.doctor import _seals
from interfaces.cli.main import run
from interfaces.settings import Settings

pytestmark = pytest.mark.servers


@pytest.fixture
def platform(fresh_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """An installation with an owner and two keys, sealed."""
    make_key(tmp_path / "key")
    settings = Settings(
        database_url=fresh_database(), key_file=str(tmp_path / "key"), checkpoint_file=str(tmp_path / "checkpoints")
    )
    monkeypatch.setenv("TESTMESH_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("TESTMESH_KEY_FILE", settings.key_file)
    made = Platform(settings)
    made.migrate()
    made.identity.first_contact()
    made.sealer.seal("identity")
    yield made
    made.close()


def change(platform: Platform, sql: str) -> None:
    with psycopg.connect(platform.settings.database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(sql.encode())


def test_a_log_that_nobody_touched_is_ok(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok       flows: 0 events in 0 seals up to 0; 0 not sealed"
    assert lines[3].startswith("ok       identity: ")
    assert lines[3].endswith(" in 1 seal up to 4; 0 not sealed")


def test_a_changed_event_is_named_and_the_exit_code_is_one(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    change(platform, "UPDATE identity.events SET state = 'x' WHERE notification_id = 2")
    assert run(["audit", "verify", "--log", "identity"]) == 1
    assert capsys.readouterr().out.startswith("CHANGED  identity: event 2: was changed after seal 1 of ")
    assert run(["audit", "verify", "--log", "flows"]) == 0


def test_a_kept_checkpoint_shows_a_log_that_was_emptied(
    platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit", "checkpoint"]) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "checkpoints").read_text()
    kept = tmp_path / "elsewhere.txt"
    kept.write_text(f"# Monday\n{text}")
    assert run(["audit", "verify", "--since", str(kept)]) == 0
    assert "1 checkpoint as kept" in capsys.readouterr().out
    change(platform, "TRUNCATE identity.events, identity.seals")
    assert run(["audit", "verify"]) == 0
    for since in (str(kept), text):
        capsys.readouterr()
        assert run(["audit", "verify", "--since", since]) == 1
        assert "CHANGED  identity: event 1: seal 1 of " in capsys.readouterr().out


def test_the_file_of_the_installation_is_taken_when_none_is_named(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTMESH_CHECKPOINT_FILE", str(tmp_path / "checkpoints"))
    assert run(["audit", "verify"]) == 0
    change(platform, "TRUNCATE identity.events, identity.seals")
    assert run(["audit", "verify"]) == 1


def test_the_public_key_is_enough(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit", "key"]) == 0
    public = capsys.readouterr().out.strip()
    monkeypatch.delenv("TESTMESH_KEY_FILE")
    assert run(["audit", "verify", "--key", public]) == 0
    assert run(["audit", "verify", "--key", public[:-2] + ("00" if public[-2:] != "00" else "01")]) != 0
    assert run(["audit", "verify", "--key", "abc"]) == 2
    assert "64 hexadecimal digits" in capsys.readouterr().err


@pytest.mark.parametrize("since", ["nowhere.txt", "testmesh-seal-1 identity 1 1 4", "x" * 5000])
def test_what_is_no_checkpoint_is_refused(platform: Platform, since: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "verify", "--since", since]) == 2
    assert "checkpoint" in capsys.readouterr().err


def test_doctor_says_how_far_a_log_is_sealed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    level, name, told = _seals(platform, "identity")
    assert (level, name) == ("ok", "seals identity")
    assert told.startswith("up to 4 at 20")
    assert told.endswith("Z, 0 behind")
    assert _seals(platform, "flows") == ("ok", "seals flows", "none, 0 behind")
    platform.identity.issue_key(Actor("user:x"), "w", "n", ["runs:read"])
    level, _, told = _seals(platform, "identity")
    assert (level, told.endswith("Z, 1 behind")) == ("ok", True), "a new event has time to be sealed"
    change(platform, "TRUNCATE identity.seals")
    assert _seals(platform, "identity")[0] == "ok"
    monkeypatch.setattr(doctor, "UNSEALED_SECONDS", 0.0)
    assert _seals(platform, "identity")[0] == "warning"
