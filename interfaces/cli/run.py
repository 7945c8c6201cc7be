"""`testmesh run`: flows to verdicts, here or on a server, with the same view, failures, reports and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli import garbage
from interfaces.cli.errors import ExitCode, fail, of_verdicts, worst
from interfaces.cli.options import DURATION, from_environment, unread_names
from interfaces.cli.terminal import patient, printable, say

if TYPE_CHECKING:
    from pathlib import Path

    from domain.errors import Refusal
    from interfaces.cli.plan import Planned
    from interfaces.cli.reports.model import Execution

_HALTS = {"interrupted": ExitCode.INTERRUPTED, "time_limit": ExitCode.TIME_LIMIT}


@from_environment
@click.command()
@click.argument("paths", nargs=-1)
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; wins over every other source.")
@click.option("--env-file", "env_files", multiple=True, type=click.Path(dir_okay=False), help="A file of variables.")
@click.option("-e", "--env", "environment", help="An environment of testmesh.yaml.")
@click.option("--secret", "secrets", multiple=True, metavar="NAME", help="A variable whose value is masked everywhere.")
@click.option("--tags", help="Only flows with one of these tags, with commas between.")
@click.option("-k", "text", help="Only flows whose name or file contains this.")
@click.option("-j", "--jobs", default="1", help="How many flows run at once; `auto` for one a core.")
@click.option("--seed", help="Reproduce the random values of a run.")
@click.option("--fail-fast", is_flag=True, help="Begin no more flows after the first that does not pass.")
@click.option("--max-duration", type=DURATION, help="End the whole run after this long, such as 10m; teardown still runs.")
@click.option("--fail-on-flaky", is_flag=True, help="A pass on a retry counts as a failure.")
@click.option("--report", "reports", multiple=True, metavar="KIND=PATH", help="junit, json or jsonl; may be repeated.")
@click.option("--progress", type=click.Choice(["auto", "tree", "plain", "none"]), default="auto", help="The live view.")
@click.option("--format", "form", type=click.Choice(["text", "json", "jsonl"]), default="text", help="What stdout carries.")
@click.option("-q", "--quiet", is_flag=True, help="Only failures and the summary.")
@click.option("-v", "--verbose", is_flag=True, help="Show every step of every flow.")
@click.option("--no-color", is_flag=True, help="No colours.")
@click.option("--remote", is_flag=True, help="Run on the server instead of here.")
@click.option("--follow/--detach", default=True, help="With --remote: wait for the verdicts, or only print the ids.")
@click.option("--idempotency-key", help="With --remote: the same key again is the same run.")
@click.option("--timeout", type=DURATION, help="With --remote: wait at most this long.")
@click.option("--url", help="The server. Default: TESTMESH_URL, testmesh.yaml, then the credentials of `testmesh up`.")
def run(paths: tuple[str, ...], **options: Any) -> int:
    """Run flow files, folders, globs, or - for standard input. Without PATHS: those of testmesh.yaml, or this folder."""
    garbage.spare()
    from interfaces.cli.plan import plan
    from interfaces.cli.progress import live_view
    from interfaces.cli.reports.model import Collector

    reports = _reports(options["reports"])
    environ = {} if options["remote"] else os.environ
    jobs = _jobs(options["jobs"])
    flows, warnings = plan(paths, options, strict=True, environ=environ)
    if not options["quiet"]:
        for warning in [*unread_names(run), *warnings]:
            print(printable(str(warning)), file=sys.stderr)
    if not flows:
        print("no flow was selected", file=sys.stderr)
        return ExitCode.NOTHING
    garbage.settle()
    collector = Collector()
    colour = False if options["no_color"] else None
    view = live_view(options["progress"], len(flows), colour=colour, quiet=options["quiet"])
    runner = _remote(flows, options, collector, view) if options["remote"] else _local(flows, options, jobs, collector, view)
    refusal = _driven(runner, collector, view)
    if refusal is None and options["remote"] and not options["follow"]:
        return ExitCode.PASSED
    sources = {flow.definition.file: flow.text for flow in flows}
    executions = list(collector.executions.values())
    codes: list[ExitCode] = [_exit_code(executions, runner.halted, options), *_write(reports, executions, sources)]
    with patient(sys.stdout):
        _show(executions, sources, options, len(flows))
    if refusal is not None:
        codes.append(ExitCode(fail(refusal)))
    return worst(codes)


def _reports(wanted: Sequence[str]) -> list[tuple[str, Path]]:
    if not wanted:
        return []
    from interfaces.cli.reports.writers import parse_report

    return [parse_report(report) for report in wanted]


def _driven(runner: Any, collector: Any, view: Any) -> Refusal | None:
    """Run to the end. What ended it before the end, if something has happened until then that must not be lost."""
    from domain.errors import Refusal

    try:
        runner.run()
    except Refusal as refusal:
        if not collector.executions:
            raise
        return refusal
    finally:
        view.close()
    return None


def _write(reports: Sequence[tuple[str, Path]], executions: Sequence[Execution], sources: Mapping[str, str]) -> list[ExitCode]:
    """Write every report, also after one that cannot be written."""
    from domain.errors import Unavailable

    codes = []
    for kind, path in reports:
        from interfaces.cli.reports.writers import write_report

        try:
            write_report(kind, path, executions, sources)
        except Unavailable as refusal:
            codes.append(ExitCode(fail(refusal)))
    return codes


def _exit_code(executions: Sequence[Execution], halted: str | None, options: Mapping[str, Any]) -> ExitCode:
    verdicts = [execution.verdict or "error" for execution in executions]
    if options["fail_on_flaky"]:
        verdicts = ["failed" if verdict == "passed_on_retry" else verdict for verdict in verdicts]
    codes = [of_verdicts(verdicts)]
    if halted in _HALTS:
        codes.append(_HALTS[halted])
    return worst(codes)


def _local(flows: Sequence[Planned], options: Mapping[str, Any], jobs: int, collector: Any, view: Any) -> Any:
    from interfaces.cli.local_run import LocalRun

    return LocalRun(
        flows,
        _sink(collector, view, options),
        jobs=jobs,
        seed=options["seed"],
        secret_names=options["secrets"],
        environ=os.environ,
        fail_fast=options["fail_fast"],
        max_seconds=options["max_duration"],
        tick=view.tick,
        note=view.note,
    )


def _remote(flows: Sequence[Planned], options: Mapping[str, Any], collector: Any, view: Any) -> Any:
    from domain.errors import Invalid
    from interfaces.cli.remote_run import RemoteRun

    if options["secrets"]:
        raise Invalid("--secret works in local runs alone: variables of a remote run are recorded as they are")
    return RemoteRun(
        flows,
        _sink(collector, view, options),
        url=options["url"],
        follow=options["follow"],
        seed=options["seed"],
        idempotency_key=options["idempotency_key"],
        max_seconds=options["timeout"] or options["max_duration"],
        tick=view.tick,
        note=view.note,
    )


def _sink(collector: Any, view: Any, options: Mapping[str, Any]) -> Any:
    """Where events go: into the collection, the view, and with --format jsonl straight to stdout."""

    def take(event: dict[str, Any]) -> None:
        view.changed(collector.add(event))
        if options["form"] == "jsonl":
            import orjson

            say(orjson.dumps({"version": 1, **event}).decode(), sys.stdout)

    return take


def _jobs(text: str) -> int:
    from domain.errors import Invalid

    if text == "auto":
        return os.cpu_count() or 1
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise Invalid(f"-j {text}: give a number from 1 to 256, or auto")
    return int(text)


def _show(executions: Sequence[Execution], sources: Mapping[str, str], options: Mapping[str, Any], total: int) -> None:
    """The results on stdout: failures in full, then the counts."""
    if options["form"] == "json":
        from interfaces.cli.reports.writers import as_json

        sys.stdout.write(as_json(executions, sources).decode())
        return
    if options["form"] == "jsonl":
        return
    from interfaces.cli.again import repeated
    from interfaces.cli.summary import show_results

    show_results(
        executions,
        sources,
        total,
        verbose=options["verbose"],
        again=repeated(options),
        colour=False if options["no_color"] else None,
    )
