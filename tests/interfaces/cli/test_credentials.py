"""Which key goes to which server: flags, environment, testmesh.yaml and the credentials file."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import Invalid, Unavailable
from interfaces.cli.credentials import find, save

FAR = "https://tests.example.com"


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    for name in ("TESTMESH_URL", "TESTMESH_API_KEY", "TESTMESH_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def _project(url: str) -> None:
    Path("testmesh.yaml").write_text(f"url: {url}\n")


def test_a_key_of_the_environment_is_not_sent_to_a_server_that_only_the_project_names(monkeypatch: pytest.MonkeyPatch) -> None:
    _project(FAR)
    monkeypatch.setenv("TESTMESH_API_KEY", "tmk_mine")
    with pytest.raises(Invalid, match="not sent there unasked") as refused:
        find()
    assert refused.value.remedy is not None
    assert f"TESTMESH_URL={FAR}" in refused.value.remedy


def test_it_is_sent_there_when_the_environment_or_a_flag_names_the_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _project(FAR)
    monkeypatch.setenv("TESTMESH_API_KEY", "tmk_mine")
    assert find(FAR).key == "tmk_mine"
    monkeypatch.setenv("TESTMESH_URL", FAR)
    assert find().url == FAR


def test_a_project_may_name_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    _project("http://localhost:9999")
    monkeypatch.setenv("TESTMESH_API_KEY", "tmk_mine")
    assert find().url == "http://localhost:9999"


def test_the_saved_key_opens_its_own_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    save(FAR, "tmk_saved")
    assert find().key == "tmk_saved"
    _project("https://elsewhere.example.com")
    with pytest.raises(Unavailable, match="no API key for https://elsewhere"):
        find()
