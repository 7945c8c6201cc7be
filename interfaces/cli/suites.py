"""`testmesh suites`: suite runs on a server."""

from __future__ import annotations

import sys
from typing import Any

import click

from interfaces.cli.errors import ExitCode, of_verdicts, worst
from interfaces.cli.flows import format_option, url_option
from interfaces.cli.tables import show_json, show_table

VERDICTS = ("passed", "passed_on_retry", "cancelled", "failed", "timed_out", "error")
CASES = {"key": "CASE", "ended": "VERDICT", "duration_ms": "MS", "execution": "EXECUTION", "told": "WHY"}


@click.group()
def suites() -> None:
    """Suite runs on a server; `testmesh run --remote` starts them."""


@suites.command()
@click.option("--status", type=click.Choice(["queued", "running", "finished"]))
@click.option("--verdict", type=click.Choice(VERDICTS))
@click.option("--name", help="Only those called so.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="How many at most.")
@url_option
@format_option
def ls(url: str | None, form: str, limit: int, **query: Any) -> int:
    """List suite runs, newest first."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        items = client.pages(client.room("/suite-runs"), limit, **query)
    if form == "json":
        show_json(items)
        return ExitCode.PASSED
    for item in items:
        item["ended"] = item["verdict"] or item["status"]
        item["told"] = _counted(item["counts"])
    columns = {"id": "ID", "ended": "VERDICT", "name": "NAME", "told": "CASES", "duration_ms": "MS", "requested_at": "AT"}
    show_table(items, columns)
    return ExitCode.PASSED


@suites.command()
@click.argument("suite_run")
@click.option("--merged", is_flag=True, help="The latest result of each case, together with all reruns.")
@click.option("--failed", is_flag=True, help="Only cases that did not pass.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=10_000, help="How many cases at most.")
@url_option
@format_option
def get(suite_run: str, merged: bool, failed: bool, limit: int, url: str | None, form: str) -> int:
    """Show a suite run and its cases."""
    from interfaces.cli.client import connect_client
    from interfaces.cli.terminal import printable

    with connect_client(url) as client:
        row = client.get(client.room("/suite-runs", suite_run))
        cases = client.pages(client.room(f"/suite-runs/{row['id']}/cases"), limit, merged=merged or None)
    if failed:
        cases = [case for case in cases if case["verdict"] not in ("passed", "passed_on_retry")]
    if form == "json":
        show_json({**row, "cases": cases})
        return ExitCode.PASSED
    told = row["merged"] if merged else row
    click.echo(printable(f"{told['verdict'] or row['status']}  {row['name'] or row['id']}: {_counted(told['counts'])}"))
    if merged or len(row["merged"]["runs"]) > 1:
        chain = row["merged"]
        click.echo(
            f"together with reruns: {chain['verdict'] or 'under way'}, {_counted(chain['counts'])}, {chain['flaky']} flaky"
        )
    for case in cases:
        case["ended"] = (case["verdict"] or case["status"]) + (" (flaky)" if case.get("flaky") else "")
        case["told"] = case["why"] or case["message"] or ""
        case["execution"] = case["execution"] if case["started_at"] else ""
    show_table(cases, CASES)
    return ExitCode.PASSED


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


@suites.command()
@click.argument("suite_run")
@url_option
@click.option("-q", "--quiet", is_flag=True, help="Only the result.")
def follow(suite_run: str, url: str | None, quiet: bool) -> int:
    """Follow a suite run to its verdict; the exit code says how it ended. Ctrl-C ends the following alone; to end the suite
    run there is `testmesh suites cancel`."""
    return _followed(suite_run, url, quiet, cancels=False)


@suites.command()
@click.argument("suite_run")
@click.option("-j", "--jobs", type=click.IntRange(1), help="How many cases run at once; as before unless given.")
@click.option("--timeout", metavar="DURATION", help="How long all of it may take; as before unless given.")
@click.option("--follow/--detach", "wait", default=True, help="Wait for the verdict, or only print the id.")
@click.option("--idempotency-key", help="The same key again is the same rerun.")
@url_option
@click.option("-q", "--quiet", is_flag=True, help="Only the result.")
def rerun(
    suite_run: str,
    jobs: int | None,
    timeout: str | None,
    wait: bool,
    idempotency_key: str | None,
    url: str | None,
    quiet: bool,
) -> int:
    """Run again what did not pass, as a new suite run. Ctrl-C cancels it."""
    from interfaces.cli.client import connect_client
    from interfaces.cli.running.remote_following import FIRST_PATIENCE, PATIENCE, goes_on, sendable

    def note(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    headers = {"Idempotency-Key": sendable(idempotency_key)}
    with connect_client(url) as client:
        client.be_patient(FIRST_PATIENCE, note)
        body = {name: value for name, value in (("parallel", jobs), ("timeout", timeout)) if value}
        answer, position = client.command("POST", client.room("/suite-runs", suite_run, "/rerun"), body, twice=True, **headers)
        if not wait:
            print(answer["id"])
            return ExitCode.PASSED
        client.be_patient(PATIENCE, note)
        with goes_on(f"suite run {answer['id']}; see `testmesh suites follow {answer['id']}`"):
            client.get(client.room(f"/suite-runs/{answer['id']}"), min_position=position)
    return _followed(answer["id"], url, quiet, cancels=True)


@suites.command()
@click.argument("suite_run")
@click.option("--reason", default="", help="Why; it is recorded.")
@url_option
def cancel(suite_run: str, reason: str, url: str | None) -> int:
    """Ask a suite run to stop: what waits is skipped, what runs is cancelled; its teardown still runs."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        client.command_and_wait("POST", client.room("/suite-runs", suite_run, "/cancel"), {"reason": reason})
    print(f"suite run {suite_run} was asked to stop", file=sys.stderr)
    return ExitCode.PASSED


def _followed(id: str, url: str | None, quiet: bool, *, cancels: bool) -> int:
    from interfaces.cli.reports.model import Collector
    from interfaces.cli.running.progress import live_view
    from interfaces.cli.running.results import WHY
    from interfaces.cli.running.suite_run import SuiteRun
    from interfaces.cli.running.summary import show_results

    collector, view = Collector(), live_view("auto", 0, quiet=quiet)

    def counted(total: int) -> None:
        view.total = total

    runner = SuiteRun(
        None,
        lambda event: view.changed(collector.add(event)),
        id=id,
        url=url,
        cancels=cancels,
        tick=view.tick,
        note=view.note,
        counted=counted,
    )
    try:
        runner.run()
    finally:
        view.close()
    executions, left = collector.finish(), runner.halted == "interrupted" and not cancels
    show_results(
        executions,
        runner.sources,
        runner.total,
        skipped=runner.skipped,
        again=["--remote"],
        under_way=left,
        ended_by=None if left else WHY.get(runner.halted or ""),
    )
    codes = [of_verdicts([runner.verdict or "error"])]
    halts = {"interrupted": ExitCode.INTERRUPTED, "time_limit": ExitCode.TIME_LIMIT}
    return worst([*codes, *(code for why, code in halts.items() if why == runner.halted)])
