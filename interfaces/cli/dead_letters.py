"""`testmesh admin dead-letters`: what the queue could not run, and what is to become of it."""

from __future__ import annotations

import sys
from urllib.parse import quote

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.flows import format_option, url_option
from interfaces.cli.tables import show_json, show_table

PATH = "/api/v1/operations/dead-letters"


@click.group("dead-letters")
def dead_letters() -> None:
    """Entries of the queue that can never be run."""


@dead_letters.command("ls")
@click.option("--decided", is_flag=True, help="Those that were requeued or discarded, instead of those that wait.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, help="How many at most.")
@url_option
@format_option
def list_letters(decided: bool, limit: int, url: str | None, form: str) -> int:
    """List them with their reasons, newest first."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        items = client.pages(PATH, limit, decided=decided)
    if form == "json":
        show_json(items)
    else:
        more = {"decision": "DECISION", "decided_by": "BY", "decided_at": "AT"} if decided else {}
        show_table(items, {"id": "ID", "parked_at": "PARKED", "size": "BYTES", "reason": "REASON", **more})
    return ExitCode.PASSED


@dead_letters.command("get")
@click.argument("letter")
@url_option
def get_letter(letter: str, url: str | None) -> int:
    """Show one as JSON, with the command as it came (`fields`)."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        show_json(client.get(_path(letter)))
    return ExitCode.PASSED


@dead_letters.command()
@click.argument("letters", nargs=-1, required=True)
@url_option
def requeue(letters: tuple[str, ...], url: str | None) -> int:
    """Send them again, for workers that can run them by now."""
    return _decide(letters, "requeue", "is in the queue again", url)


@dead_letters.command()
@click.argument("letters", nargs=-1, required=True)
@url_option
def discard(letters: tuple[str, ...], url: str | None) -> int:
    """Give them up. They stay listed with --decided for 90 days."""
    return _decide(letters, "discard", "is discarded", url)


def _decide(letters: tuple[str, ...], verb: str, done: str, url: str | None) -> int:
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        for letter in letters:
            client.call("POST", f"{_path(letter)}/{verb}")
            print(f"{letter} {done}", file=sys.stderr)
    return ExitCode.PASSED


def _path(letter: str) -> str:
    return f"{PATH}/{quote(letter, safe='')}"
