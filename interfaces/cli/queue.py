"""`testmesh queue`: who holds the places of concurrency groups, who waits for them, and which workers there are."""

from __future__ import annotations

from typing import Any

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.flows import format_option, url_option
from interfaces.cli.tables import show_json, show_table


@click.group()
def queue() -> None:
    """Concurrency groups and workers on a server."""


@queue.command()
@click.argument("name", required=False)
@url_option
@format_option
def groups(name: str | None, url: str | None, form: str) -> int:
    """Show locks and concurrency groups of the workspace: holders first, then those that wait, in their order."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        items = client.get(client.room("/groups"), name=name)["items"]
    if form == "json":
        show_json(items)
        return ExitCode.PASSED
    columns = {
        "group": "GROUP",
        "max": "MAX",
        "state": "STATE",
        "execution": "EXECUTION",
        "priority": "PRIORITY",
        "since": "SINCE",
    }
    show_table([row for item in items for row in _rows(item)], columns)
    return ExitCode.PASSED


def _rows(item: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"group": item["name"] or "(the workspace's quota)"}
    holders = [{**head, **place, "state": "holds", "since": place["held_since"]} for place in item["holders"]]
    return [*holders, *({**head, **place, "state": f"waits, {place['ahead']} ahead"} for place in item["waiting"])]


@queue.command()
@url_option
@format_option
def workers(url: str | None, form: str) -> int:
    """List the workers that live, with their labels. The key needs the scope operator."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        items = client.get("/api/v1/operations/workers")["items"]
    if form == "json":
        show_json(items)
        return ExitCode.PASSED
    for item in items:
        item["labels"] = ", ".join(item["labels"])
    columns = {
        "incarnation": "WORKER",
        "host": "HOST",
        "labels": "LABELS",
        "running": "RUNNING",
        "concurrency": "OF",
        "beat": "SEEN",
    }
    show_table(items, columns)
    return ExitCode.PASSED
