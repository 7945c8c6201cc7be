"""Settings: the environment over the file, clear refusals, warnings about names that nothing reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import Invalid
from interfaces.settings import Settings, load


def test_without_anything_the_defaults_stand() -> None:
    assert load({}) == (Settings(), [])


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "testmesh.toml"
    file.write_text(
        '[server]\nport = 9000\nhost = "::1"\n[worker]\ndrain = "1m30s"\n[egress]\nallow = ["10.0.0.0/8", "db:5432"]\n'
    )
    settings, _ = load({"TESTMESH_PORT": "9001"}, file)
    assert (settings.port, settings.host, settings.worker_drain) == (9001, "::1", 90.0)
    assert settings.egress_allow == ("10.0.0.0/8", "db:5432")


def test_a_domain_can_have_a_database_of_its_own() -> None:
    settings, _ = load({"TESTMESH_DATABASE_URL": "postgresql://a", "TESTMESH_EXECUTIONS_DATABASE_URL": "postgresql://b"})
    assert (settings.database_of("flows"), settings.database_of("executions")) == ("postgresql://a", "postgresql://b")


def test_lists_come_with_commas() -> None:
    assert load({"TESTMESH_EGRESS_ALLOW": "a:1, b:2,"})[0].egress_allow == ("a:1", "b:2")


def test_mock_servers_listen_at_an_address_of_the_settings() -> None:
    assert load({"TESTMESH_MOCK_BIND": "[::1]"})[0].mock_bind == "::1"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"TESTMESH_PORT": "http"}, "TESTMESH_PORT"),
        ({"TESTMESH_MOCK_BIND": "localhost"}, "TESTMESH_MOCK_BIND"),
        ({"TESTMESH_WORKER_DRAIN": "soon"}, "TESTMESH_WORKER_DRAIN"),
        ({"TESTMESH_WORKER_CONCURRENCY": "0"}, "TESTMESH_WORKER_CONCURRENCY cannot be 0"),
        ({"TESTMESH_METRICS_PORT": "-1"}, "TESTMESH_METRICS_PORT cannot be -1"),
        ({"TESTMESH_PORT": "99999"}, "TESTMESH_PORT cannot be 99999"),
        ({"TESTMESH_LOG_LEVEL": "loud"}, "TESTMESH_LOG_LEVEL cannot be 'loud'"),
        ({"TESTMESH_LOG_FORMAT": "xml"}, "TESTMESH_LOG_FORMAT cannot be 'xml'"),
        ({"TESTMESH_LEASE": "0"}, "TESTMESH_HEARTBEAT 5 s is too long for TESTMESH_LEASE 0 s"),
        ({"TESTMESH_HEARTBEAT": "10s"}, "TESTMESH_HEARTBEAT 10 s is too long"),
        ({"TESTMESH_HEARTBEAT": "0"}, "TESTMESH_HEARTBEAT 0 s"),
    ],
)
def test_a_wrong_value_names_its_setting(environ: dict[str, str], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        load(environ)


@pytest.mark.parametrize("text", ["[sever]\nport = 1", "[server]\nprot = 1", "[server", "server = 1"])
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "testmesh.toml"
    file.write_text(text)
    with pytest.raises(Invalid, match=r"testmesh\.toml"):
        load({}, file)


def test_unknown_names_are_warned_about_with_the_nearest() -> None:
    _, warnings = load({"TESTMESH_DATABSE_URL": "x", "TESTMESH_VAR_anything": "x", "TESTMESH_OPT_TAGS": "x"})
    assert warnings == ["TESTMESH_DATABSE_URL is not a setting; did you mean TESTMESH_DATABASE_URL?"]
