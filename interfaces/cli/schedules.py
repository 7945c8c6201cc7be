"""`testmesh schedules`: when flows run by themselves on a server."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.flows import find_flow, format_option, url_option
from interfaces.cli.schedule_options import plan_of, plan_options, selection_of, selection_options
from interfaces.cli.tables import show_json, show_table

DECISIONS = {"tick": "TICK", "decision": "DECISION", "count": "TICKS", "execution": "EXECUTION", "why": "WHY"}


@click.group()
def schedules() -> None:
    """When flows run by themselves on a server."""


@schedules.command()
@click.option("--flow", help="Only schedules of this flow (id, path, key or name).")
@click.option("--paused", is_flag=True, help="Only those that stand still.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="How many at most.")
@url_option
@format_option
def ls(flow: str | None, paused: bool, url: str | None, form: str, limit: int) -> int:
    """List schedules by name, with the tick that comes next."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        id = find_flow(client, flow)["id"] if flow else None
        items = client.pages(client.room("/schedules"), limit, flow=id, paused=paused or None)
    if form == "json":
        show_json(items)
        return ExitCode.PASSED
    for item in items:
        item["next"] = "paused" if item["paused"] else item["next_tick"]
    columns = {"name": "NAME", "cron": "CRON", "time_zone": "ZONE", "next": "NEXT", "last_decision": "LAST", "id": "ID"}
    show_table(items, columns)
    return ExitCode.PASSED


@schedules.command()
@click.argument("words", nargs=-1, metavar="[FLOW] CRON")
@click.option("--name", help="What to call it; the name of the flow or suite unless given.")
@selection_options
@plan_options
@url_option
@format_option
def create(
    words: tuple[str, ...], name: str | None, selecting: Mapping[str, Any], url: str | None, form: str, **options: Any
) -> int:
    """Let FLOW (id, path, key or name), or the flows that --suite, --tags and --folder mean, run at the ticks of CRON: minute
    hour day month weekday, a second before them if wanted, or @hourly, @daily, @weekly, @monthly, @yearly."""
    from interfaces.cli.client import connect_client

    selection = selection_of({}, selecting)
    if len(words) != (1 if selection else 2):
        raise click.UsageError("give FLOW and CRON, or CRON and one of --suite, --tags, --folder")
    with connect_client(url) as client:
        if selection:
            about = selecting.get("suite") or selecting.get("folder") or selecting.get("tags") or selecting.get("project")
            what: dict[str, Any] = {"name": name or about, "selection": selection}
        else:
            row = find_flow(client, words[0])
            what = {"name": name or row["name"], "flow": row["id"]}
        body = {**what, "cron": words[-1], **plan_of(options)}
        answer, position = client.command("POST", client.room("/schedules"), body)
        made = client.get(client.room("/schedules", answer["id"]), min_position=position)
        coming = client.get(client.room("/schedules", answer["id"], "/next"))
    if form == "json":
        show_json({**made, "next": coming["items"]})
        return ExitCode.PASSED
    print(f"schedule {made['name']} ({made['id']}) ticks next at", file=sys.stderr)
    _show_next(coming["items"])
    return ExitCode.PASSED


@schedules.command()
@click.argument("called")
@click.option("--name", help="Another name.")
@click.option("--cron", help="Another expression; its ticks count from now on.")
@click.option("--flow", help="Another flow (id, path, key or name), or one in place of a selection.")
@selection_options
@plan_options
@url_option
def change(called: str, flow: str | None, selecting: Mapping[str, Any], url: str | None, **options: Any) -> int:
    """Change a schedule (id or name); what is not given stays as it is. Of a selection too: --suite '' takes the suite out of
    it, --matrix '' the matrix."""
    from interfaces.cli.client import connect_client

    body = plan_of(options)
    if not body and not selecting and flow is None:
        print("nothing is to be changed", file=sys.stderr)
        return ExitCode.USAGE
    if flow is not None and selecting:
        raise click.UsageError("give --flow, or what selects flows, not both")
    with connect_client(url) as client:
        row = find_schedule(client, called)
        if flow is not None:
            body["flow"] = find_flow(client, flow)["id"]
        if selecting:
            body["selection"] = selection_of(row["selection"], selecting)
        _command(client, "PATCH", row, "", body)
    return ExitCode.PASSED


@schedules.command()
@click.argument("called")
@click.option("--limit", type=click.IntRange(0, 10_000), default=10, help="How many decisions at most.")
@url_option
@format_option
def get(called: str, limit: int, url: str | None, form: str) -> int:
    """Show a schedule (id or name) and what was decided about its ticks, newest first."""
    from interfaces.cli.client import connect_client
    from interfaces.cli.terminal import printable

    with connect_client(url) as client:
        row = find_schedule(client, called)
        decisions = client.pages(client.room("/schedules", row["id"], "/decisions"), limit)
    if form == "json":
        show_json({**row, "decisions": decisions})
        return ExitCode.PASSED
    names = ("name", "id", "flow", "selection", "cron", "time_zone", "jitter", "overlap", "missed", "variables", "tags")
    for name in (*names, "paused", "pause_reason", "next_tick", "last_tick", "waiting"):
        if row[name] not in ("", [], {}, 0, None, False):
            text = ", ".join(row[name]) if isinstance(row[name], list) else _told(row[name])
            click.echo(f"{name:<12} {printable(text)}")
    if decisions:
        show_table(decisions, DECISIONS)
    return ExitCode.PASSED


def _told(value: Any) -> str:
    """A value for people: of an object its parts."""
    return ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else str(value)


@schedules.command("next")
@click.argument("called")
@click.option("--count", type=click.IntRange(1, 100), default=5, help="How many.")
@url_option
@format_option
def next_(called: str, count: int, url: str | None, form: str) -> int:
    """Show the next firings of a schedule (id or name)."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        coming = client.get(client.room("/schedules", find_schedule(client, called)["id"], "/next"), count=count)
    if form == "json":
        show_json(coming)
        return ExitCode.PASSED
    if coming["paused"]:
        print("the schedule is paused; it would tick at", file=sys.stderr)
    _show_next(coming["items"])
    return ExitCode.PASSED


@schedules.command()
@click.argument("called")
@click.option("--reason", default="", help="Why; it is recorded and shown.")
@url_option
def pause(called: str, reason: str, url: str | None) -> int:
    """Let nothing start until the schedule (id or name) is resumed; ticks that wait are dropped. Pausing it again gives it
    another reason."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        _command(client, "POST", find_schedule(client, called), "/pause", {"reason": reason})
    return ExitCode.PASSED


@schedules.command()
@click.argument("called")
@url_option
def resume(called: str, url: str | None) -> int:
    """Let a schedule (id or name) tick again, from now on."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        _command(client, "POST", find_schedule(client, called), "/resume", {})
    return ExitCode.PASSED


@schedules.command()
@click.argument("called")
@url_option
def rm(called: str, url: str | None) -> int:
    """End a schedule (id or name). Executions that it started go on."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        client.remove(client.room("/schedules", find_schedule(client, called)["id"]))
    return ExitCode.PASSED


def find_schedule(client: Any, called: str) -> dict[str, Any]:
    """The one schedule that is called so; refusals name the choices."""
    from domain.errors import Conflict, NotFound

    found: list[dict[str, Any]] = client.get(client.room("/schedules"), called=called)["items"]
    if not found:
        raise NotFound(f"there is no schedule {called!r} on {client.url}", remedy="see `testmesh schedules ls`")
    if len(found) > 1:
        ids = ", ".join(row["id"] for row in found)
        raise Conflict(f"{len(found)} schedules are called {called!r}: {ids}", remedy="use the id")
    return found[0]


def _command(client: Any, method: str, row: dict[str, Any], rest: str, body: dict[str, Any]) -> None:
    """Send a command, and wait until every answer of the server knows."""
    _, position = client.command(method, client.room("/schedules", row["id"], rest), body)
    client.get(client.room("/schedules", row["id"]), min_position=position)


def _show_next(items: list[dict[str, Any]]) -> None:
    show_table(items, {"local": "TICK", "due": "DUE (UTC)"})
