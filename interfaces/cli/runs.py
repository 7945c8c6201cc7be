"""`testmesh runs`: executions on a server."""

from __future__ import annotations

import sys
from typing import Any

import click

from interfaces.cli.errors import ExitCode, of_verdicts
from interfaces.cli.flows import format_option, url_option
from interfaces.cli.tables import show_json, show_table


@click.group()
def runs() -> None:
    """Executions on a server."""


@runs.command()
@click.option("--status", type=click.Choice(["queued", "running", "owes_teardown", "tearing_down", "finished"]))
@click.option("--verdict", type=click.Choice(["passed", "passed_on_retry", "failed", "error", "cancelled", "timed_out"]))
@click.option("--flow", help="Only executions of this flow (its id).")
@click.option("--tag", help="Only executions with this tag.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="How many at most.")
@url_option
@format_option
def ls(url: str | None, form: str, limit: int, **query: Any) -> int:
    """List executions, newest first."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        items = client.pages(client.room("/executions"), limit, **query)
    if form == "json":
        show_json(items)
        return ExitCode.PASSED
    for item in items:
        item["ended"] = item["verdict"] or item["status"]
    columns = {
        "id": "ID",
        "ended": "VERDICT",
        "flow_name": "FLOW",
        "attempt": "ATTEMPT",
        "duration_ms": "MS",
        "requested_at": "AT",
    }
    show_table(items, columns)
    return ExitCode.PASSED


@runs.command()
@click.argument("execution")
@url_option
@format_option
def get(execution: str, url: str | None, form: str) -> int:
    """Show one execution: verdict, steps, failures."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        if form == "json":
            show_json(client.get(client.room("/executions", execution)))
            return ExitCode.PASSED
        _show(client, execution)
    return ExitCode.PASSED


def _show(client: Any, id: str) -> None:
    """The execution from its events, in the words of `testmesh run`."""
    from interfaces.cli.reports.model import Collector
    from interfaces.cli.running.summary import show_results

    row = client.get(client.room("/executions", id))
    collector = Collector()
    after = None
    while True:
        page = client.get(client.room(f"/executions/{row['id']}/events"), after=after, limit=500)
        for event in page["items"]:
            collector.add(event)
        if len(page["items"]) < 500:
            break
        after = page["next"]
    if row["status"] != "finished":
        click.echo(f"{row['status']}, attempt {row['attempt']}")
        for reason in row["waiting_for"]:
            click.echo(f"waiting: {reason}")
    sources = {row["file"]: client.get(client.room(f"/executions/{row['id']}/source"))}
    show_results(collector.finish(), sources, 1, verbose=True, again=["--remote"], under_way=True)


@runs.command()
@click.argument("execution")
@url_option
@click.option("-q", "--quiet", is_flag=True, help="Only the result.")
def follow(execution: str, url: str | None, quiet: bool) -> int:
    """Follow an execution to its verdict; the exit code says how it ended. Ctrl-C ends the following alone; to end the
    execution there is `testmesh runs cancel`."""
    from contextlib import suppress

    from domain.errors import Refusal
    from interfaces.cli.client import connect_client
    from interfaces.cli.reports.model import Collector
    from interfaces.cli.running.progress import live_view
    from interfaces.cli.running.remote_following import FIRST_PATIENCE, PATIENCE, Following, goes_on
    from interfaces.cli.running.summary import show_results

    async def ready(topic: str) -> None:
        """It was seen just now."""

    collector, view = Collector(), live_view("auto", 1, quiet=quiet)
    with connect_client(url) as client:
        client.be_patient(FIRST_PATIENCE, view.note)
        row = client.get(client.room("/executions", execution))
        client.be_patient(PATIENCE, view.note)
        left = f"{row['id']}; see `testmesh runs follow {row['id']}`"
        following = Following(client, None, lambda: left, tick=view.tick, note=view.note)
        try:
            with goes_on(left):
                following.run([f"execution:{row['id']}"], lambda event: view.changed(collector.add(event)), ready)
        finally:
            view.close()
        sources: dict[str, str] = {}
        with suppress(Refusal):
            sources[row["file"]] = client.get(client.room(f"/executions/{row['id']}/source"))
    executions = collector.finish()
    show_results(executions, sources, 1, again=["--remote"], under_way=following.halted is not None)
    if following.halted:
        return ExitCode.INTERRUPTED
    return of_verdicts(verdict or "error" for _, verdict, _, _ in executions.ends())


@runs.command()
@click.argument("execution")
@click.option("--reason", default="", help="Why; it is recorded.")
@url_option
def cancel(execution: str, reason: str, url: str | None) -> int:
    """Ask an execution to stop. Its teardown still runs."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        client.command_and_wait("POST", client.room("/executions", execution, "/cancel"), {"reason": reason})
    print(f"{execution} was asked to stop", file=sys.stderr)
    return ExitCode.PASSED
