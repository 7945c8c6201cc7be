"""R8: the code of today makes of the log of every release the rows that the release made of it, unless a change is meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from application.database import Database
from tests.projections.releases import FOLDER, changed, different, kept, load, projected, releases, write
from tests.support.figures import Figure

pytestmark = [pytest.mark.servers, pytest.mark.row("R8")]
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def log_of(release: str) -> list[bytes]:
    return (FOLDER / release / "events.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("release", releases())
def test_read_models_are_those_that_the_release_made_but_for_the_tables_that_are_meant_to_differ(
    database: Database, release: str, figure: Figure
) -> None:
    load(database, log_of(release))
    found, meant = different(release, projected(database)), changed(release)
    tables = kept(release)
    figure(f"{release}: {len(log_of(release))} events, {len(tables) - len(found)} of {len(tables)} tables equal byte for byte")
    assert found == set(meant), "a table that is meant to differ is named in releases/changed.toml; what is named differs"
    assert all(reason.strip() for reason in meant.values())


def test_a_row_that_comes_out_otherwise_is_found(database: Database) -> None:
    release = releases()[0]
    load(database, log_of(release))
    before = different(release, projected(database))
    with database.pool.connection() as connection:
        connection.execute("UPDATE flows.flow_list SET name = name || ' ' WHERE path = 'long.yaml'")
    assert different(release, projected(database)) - before == {"flows.flow_list"}


def test_the_set_of_a_release_is_never_written_again() -> None:
    with pytest.raises(FileExistsError, match="never written again"):
        write(releases()[0])


def test_every_release_in_the_changelog_has_its_set() -> None:
    named = re.findall(r"^## \[?(\d[^\s\]]*)", CHANGELOG.read_text(), re.MULTILINE)
    assert set(named) <= set(releases()), "run python -m tests.projections.releases NAME on the commit of the release"
