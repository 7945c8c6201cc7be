"""Every command line that the documentation shows exists, with its arguments and options."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from interfaces.cli import main
from interfaces.reference.commands import all_commands
from tests.support.documentation import DOCS, ROOT, commands, options, pages, tables

HAND_WRITTEN = [page for page in pages() if page.name != "cli.md"]


def _follow(words: list[str]) -> None:
    """Walk down to the command that the words call, and let it read the rest. Raises click's own errors."""
    command: click.Command = main.testmesh
    context = click.Context(main.testmesh, info_name="testmesh")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        inner = command.get_command(context, words[0])
        assert inner is not None, f"there is no command {words[0]}"
        command, words = inner, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    command.make_parser(context).parse_args(list(words))


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_exist(page: Path) -> None:
    wrong = []
    for line, words in commands(page):
        try:
            _follow(words)
        except (click.ClickException, AssertionError) as error:
            wrong.append(f"{line}: {error.message if isinstance(error, click.ClickException) else error}")
    assert wrong == []


OPTIONS = {name for _, command in all_commands() for one in command.params for name in (*one.opts, *one.secondary_opts)}
OURS = [page for page in HAND_WRITTEN if page.parent == DOCS]
CHEAT_SHEETS = sorted((DOCS / "coming-from").glob("*.md"))


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.name)
def test_the_options_that_a_page_names_exist(page: Path) -> None:
    assert options(page.read_text()) - OPTIONS == set()


@pytest.mark.parametrize("page", CHEAT_SHEETS, ids=lambda page: page.name)
def test_our_side_of_a_cheat_sheet_names_options_that_exist(page: Path) -> None:
    rows = list(tables(page, page.stem, "here", bare=False))
    assert len(rows) > 10
    assert {option for _, row in rows for option in options(row["here"])} - OPTIONS == set()
