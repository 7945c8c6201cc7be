"""`testmesh run`: flows to verdicts, here or on a server, with the same view, failures, reports and exit codes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.errors import ExitCode, fail, of_verdicts, worst
from interfaces.cli.options import DURATION, from_environment, unread_names
from interfaces.cli.running import garbage
from interfaces.cli.terminal import printable, say

if TYPE_CHECKING:
    from domain.errors import InvalidFlow, Problem, Refusal
    from interfaces.cli.planning.plan import Planned
    from interfaces.cli.reports.model import Collected
    from interfaces.cli.running.local_run import Options

SERVER_GRACE = 15.0
"""So many seconds after the time limit of a suite run it is cancelled from here."""
_HALTS = {"interrupted": ExitCode.INTERRUPTED, "time_limit": ExitCode.TIME_LIMIT}


@from_environment
@click.command()
@click.argument("paths", nargs=-1)
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; wins over every other source.")
@click.option("--env-file", "env_files", multiple=True, type=click.Path(dir_okay=False), help="A file of variables.")
@click.option("-e", "--env", "environment", help="An environment of testmesh.yaml.")
@click.option("--var-file", "var_files", multiple=True, type=click.Path(dir_okay=False), help="Variables, as YAML or JSON.")
@click.option("--data", type=click.Path(dir_okay=False), help="Rows for every flow (CSV, JSON or JSON lines): each is a case.")
@click.option("--secret", "secrets", multiple=True, metavar="NAME", help="A variable whose value is masked everywhere.")
@click.option("--tags", help="Only flows with these tags: 'smoke and not slow', or commas for either.")
@click.option(
    "--suite", metavar="NAME", help="Only flows of this suite. With --remote and no PATHS: of those pushed to the server."
)
@click.option("--case", "cases", multiple=True, metavar="KEY", help="Only this row of data; may be repeated.")
@click.option("-k", "text", help="Only flows whose name or file contains this.")
@click.option(
    "-j",
    "--jobs",
    help="How many flows run at once, in at most one process a core; `auto` for one flow a core. One unless given; with"
    " --remote as many as the server allows.",
)
@click.option("--shard", metavar="I/N", help="Only every N-th flow, beginning with the I-th, for N machines.")
@click.option("--last-failed", is_flag=True, help="Only what did not pass last time in this project.")
@click.option("--shuffle", is_flag=False, flag_value="", metavar="[=SEED]", help="In an order by chance; a seed repeats it.")
@click.option("--seed", help="Reproduce the random values of a run.")
@click.option("--repeat", type=click.IntRange(1, 10_000), default=1, help="Run everything so often.")
@click.option("--retries", type=click.IntRange(0, 10), default=0, help="Run a flow that does not pass so often again.")
@click.option("--fail-fast", is_flag=True, help="End the run at the first flow that does not pass; teardown still runs.")
@click.option("--max-failures", type=click.IntRange(0), default=0, help="The same after so many.")
@click.option("--max-duration", type=DURATION, help="End the whole run after this long, such as 10m; teardown still runs.")
@click.option("--fail-on-flaky", is_flag=True, help="A pass on a retry counts as a failure.")
@click.option("--update-snapshots", is_flag=True, help="Accept every snapshot() as it is now.")
@click.option(
    "--report", "reports", multiple=True, metavar="KIND=PATH", help="junit, json, jsonl, html, markdown, tap, github, gitlab."
)
@click.option("--save", type=click.Path(dir_okay=False), help="Save the run's events, masked, such as run.tmrun.")
@click.option("--github/--no-github", default=None, help="Annotations and step summary; on in GitHub Actions.")
@click.option(
    "--show-response",
    "responses",
    type=click.Choice(["always", "failed", "never"]),
    default="failed",
    help="Of which steps to show request and response.",
)
@click.option("--curl", is_flag=True, help="Show every HTTP request as a curl command.")
@click.option("--progress", type=click.Choice(["auto", "tree", "plain", "none"]), default="auto", help="The live view.")
@click.option("--format", "form", type=click.Choice(["text", "json", "jsonl"]), default="text", help="What stdout carries.")
@click.option("-q", "--quiet", is_flag=True, help="Only failures and the summary.")
@click.option("-v", "--verbose", is_flag=True, help="Show every step of every flow.")
@click.option("--no-color", is_flag=True, help="No colours.")
@click.option("--remote", is_flag=True, help="Run on the server instead of here.")
@click.option("--pushed", is_flag=True, help="With --remote: flows as they were pushed, by --suite, --tags or one folder.")
@click.option("--matrix", multiple=True, metavar="NAME=A,B", help="With --remote: run all with each value; may be repeated.")
@click.option(
    "--priority", type=click.Choice(["low", "normal", "high"]), help="With --remote: which of the waiting come first."
)
@click.option("--runs-on", multiple=True, metavar="LABEL", help="With --remote: what the worker must have; may be repeated.")
@click.option("--queue-timeout", metavar="DURATION", help="With --remote: how long to wait for a worker, 10m.")
@click.option("--follow/--detach", default=True, help="With --remote: wait for the verdicts, or only print the id.")
@click.option("--idempotency-key", help="With --remote: the same key again is the same run.")
@click.option("--timeout", type=DURATION, help="With --remote: end the whole run after this long; as --max-duration.")
@click.option("--url", help="The server. Default: TESTMESH_URL, testmesh.yaml, then the credentials of `testmesh up`.")
def run(paths: tuple[str, ...], **options: Any) -> int:
    """Run flow files, folders, globs, or - for standard input. Without PATHS: those of testmesh.yaml, or this folder."""
    garbage.spare()
    from interfaces.cli.demo import demo_beside

    with demo_beside(paths, options) as given:
        return _run(paths, given)


def _run(paths: Sequence[str], options: Mapping[str, Any]) -> int:
    from domain.errors import InvalidFlow, NotFound
    from interfaces.cli.planning.plan import plan
    from interfaces.cli.project import secret_names
    from interfaces.cli.reports.model import Collector
    from interfaces.cli.running.refused_run import leave_nothing
    from interfaces.cli.running.results import leave_results, parse_reports
    from interfaces.cli.running.secret_variables import doubtful_secrets, refuse_secrets

    reports = parse_reports(options)
    environ = {} if options["remote"] else os.environ
    if _chosen_there(paths, options):
        flows: list[Planned] = []
        warnings: list[Problem] = []
    else:
        try:
            flows, warnings = plan(paths, options, strict=True, environ=environ)
        except InvalidFlow as invalid:
            return _refused(invalid, options, reports)
        flows = _ordered(flows, paths, options)
    options = {**options, "secret_names": secret_names(paths, options["secrets"])}
    refuse_secrets(flows, options["secret_names"], environ, remote=options["remote"])
    local = _local_options(options)
    if not options["quiet"]:
        _warn([*unread_names(run), *warnings, *doubtful_secrets(flows, options["secrets"], environ)])
    if not flows and not _chosen_there(paths, options):
        return _nothing(options, reports)
    garbage.settle()
    collector = Collector()
    runner, view = (_remote if options["remote"] else _local)(flows, paths, options, local, collector)
    try:
        refusal = _driven(runner, collector, view)
    except NotFound as nothing:
        if nothing.code != "nothing_selected":
            raise
        return worst([ExitCode(fail(nothing)), *leave_nothing(options, reports)])
    if refusal is None and options["remote"] and not options["follow"]:
        return ExitCode.PASSED
    sources = {**runner.sources, **{flow.file: flow.text for flow in flows}}
    executions = collector.finish()
    executions.skipped = runner.skipped
    codes: list[ExitCode] = [_exit_code(executions, runner.halted, runner.verdict, options)]
    codes += leave_results(executions, sources, options, runner, reports)
    if refusal is not None:
        codes.append(ExitCode(fail(refusal)))
    if not options["remote"]:
        _remember(executions, paths)
    return worst(codes)


def _nothing(options: Mapping[str, Any], reports: Any) -> int:
    """There is nothing to run: why, and what to do; reports say so too."""
    from interfaces.cli.running.refused_run import leave_nothing

    if options["last_failed"]:
        print("nothing failed last time", file=sys.stderr)
    elif given := _given(options):
        print(f"no flow was selected by {given}", file=sys.stderr)
    else:
        print("no flow was found: `testmesh init` begins a project", file=sys.stderr)
    return worst([ExitCode.NOTHING, *leave_nothing(options, reports)])


def _given(options: Mapping[str, Any]) -> str:
    """The options that leave flows out, as they were given."""
    named = [("--suite", options["suite"]), ("--tags", options["tags"]), ("-k", options["text"])]
    named += [("--case", key) for key in options["cases"]]
    return " ".join(f"{flag} {shlex.quote(value)}" for flag, value in named if value)


def _refused(invalid: InvalidFlow, options: Mapping[str, Any], reports: Any) -> int:
    """Nothing is run; what is invalid is told, and stands in every report."""
    from interfaces.cli.running.refused_run import leave_refused

    code = ExitCode(fail(invalid))
    return worst([code, *leave_refused(invalid, options, reports)])


def _ordered(flows: list[Planned], paths: Sequence[str], options: Mapping[str, Any]) -> list[Planned]:
    """What is left of the flows, in the order in which they begin."""
    from dataclasses import replace

    if options["cases"]:
        flows = [replace(flow, only=frozenset(options["cases"])) for flow in flows if flow.cases is not None]
    if options["last_failed"]:
        from interfaces.cli.project import find_project
        from interfaces.cli.running.last_run import LastRun

        flows = LastRun(find_project(paths)[1]).only_failed(flows)
    if options["shuffle"] is not None:
        import random

        seed = options["shuffle"] or str(random.randrange(1_000_000))
        print(f"shuffled; the same order again: --shuffle={seed}", file=sys.stderr)
        random.Random(seed).shuffle(flows)
    return flows


def _remember(executions: Collected, paths: Sequence[str]) -> None:
    from interfaces.cli.project import find_project
    from interfaces.cli.running.last_run import LastRun

    LastRun(find_project(paths)[1]).keep((file, verdict, case) for _, verdict, file, case in executions.ends())


def _driven(runner: Any, collector: Any, view: Any) -> Refusal | None:
    """Run to the end. What ended it before the end, if something has happened until then that must not be lost."""
    from domain.errors import Refusal

    try:
        runner.run()
    except Refusal as refusal:
        if not collector.executions and not collector.collected:
            raise
        return refusal
    finally:
        view.close()
    return None


def _exit_code(executions: Collected, halted: str | None, suite: str | None, options: Mapping[str, Any]) -> ExitCode:
    """By the verdicts of executions, and of the suite run where there is one."""
    verdicts = [verdict or "error" for _, verdict, _, _ in executions.ends()]
    if options["fail_on_flaky"]:
        verdicts = ["failed" if verdict == "passed_on_retry" else verdict for verdict in verdicts]
    if halted == "fail_fast":
        verdicts = [verdict for verdict in verdicts if verdict != "cancelled"]  # by us: that is no error
    codes = [of_verdicts(verdicts)] if verdicts or suite is None else []
    if suite is not None:
        codes.append(of_verdicts([suite]))
    if halted in _HALTS:
        codes.append(_HALTS[halted])
    return worst(codes)


def _local(flows: Sequence[Planned], paths: Sequence[str], options: Mapping[str, Any], local: Options, collector: Any) -> Any:
    from interfaces.cli.project import find_project
    from interfaces.cli.running.local_run import LocalRun

    view = _view(options)

    def retried(old: str, new: str) -> None:
        collector.retried(old, new)
        view.total += 1

    runner = LocalRun(
        flows,
        _sink(collector, view, options),
        options=local,
        folder=find_project(paths)[1],
        environ=os.environ,
        retried=retried,
        mock_bind=_mock_bind(os.environ.get("TESTMESH_MOCK_BIND", "")),
        tick=view.tick,
        note=view.note,
    )
    view.total = runner.total
    return runner, view


def _mock_bind(text: str) -> str:
    """Where mock servers listen; the settings are loaded only when it is given."""
    if not text:
        return "127.0.0.1"
    from interfaces.settings import bind_address

    return bind_address(text)


def _chosen_there(paths: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Whether flows are chosen among those that were pushed, not among files here."""
    from domain.errors import Invalid

    if not options["remote"]:
        for name in ("pushed", "matrix", "priority", "runs_on", "queue_timeout"):
            if options[name]:
                raise Invalid(f"--{name.replace('_', '-')} works with --remote alone")
    if options["pushed"] and options["cases"]:
        raise Invalid("--case chooses among files here", remedy="leave out --pushed")
    return bool(options["remote"] and (options["pushed"] or (options["suite"] and not paths)))


def _remote(flows: Sequence[Planned], paths: Sequence[str], options: Mapping[str, Any], local: Options, collector: Any) -> Any:
    """One execution where one flow is run, a suite run where there is more to it."""
    from domain.errors import Invalid
    from interfaces.cli.running.jobs import jobs_of
    from interfaces.cli.running.remote_flows import RemoteFlows
    from interfaces.cli.running.remote_run import RemoteRun
    from interfaces.cli.running.suite_request import time_limit, wished
    from interfaces.cli.running.suite_run import SuiteRun

    if options["secrets"]:
        raise Invalid("--secret works in local runs alone: variables of a remote run are recorded as they are")
    for name, usual in (("repeat", 1), ("retries", 0), ("shard", None), ("max_failures", 0)):
        if options[name] != usual:
            raise Invalid(f"--{name.replace('_', '-')} works in local runs alone")
    for flow in flows:
        if flow.partial:
            raise Invalid(
                f"{flow.file}: the step at a line runs in local runs alone, a server runs whole flows",
                remedy="leave the line out, or run it without --remote",
            )
    view = _view(options)
    jobs = [job for flow in flows for job, _ in zip(jobs_of(flow), range(2), strict=False)]
    remote = RemoteFlows(flows) if flows else None
    more: dict[str, Any] = {
        "remote": remote,
        "url": options["url"],
        "follow": options["follow"],
        "idempotency_key": options["idempotency_key"],
        "max_seconds": time_limit(options),
        "tick": view.tick,
        "note": view.note,
    }
    sink = _sink(collector, view, options)
    runner: RemoteRun | SuiteRun
    if len(jobs) == 1 and not options["matrix"] and not flows[0].definition.needs:
        if more["max_seconds"] and not options["follow"]:
            raise Invalid(
                "--timeout of a single flow is kept by whoever follows it, and --detach follows nothing",
                remedy="give the flow a `timeout`, or leave one of them out",
            )
        runner = RemoteRun(jobs[0], sink, seed=options["seed"], wish=wished(options), **more)
        view.total = runner.total
    else:

        def counted(total: int) -> None:
            view.total = total

        if more["max_seconds"]:
            more["max_seconds"] += SERVER_GRACE  # the server keeps the limit; this is for one without a coordinator
        runner = SuiteRun(_asked(flows, paths, options, remote), sink, counted=counted, **more)
    if not options["quiet"]:
        _warn(runner.warnings)
    return runner, view


def _asked(flows: Sequence[Planned], paths: Sequence[str], options: Mapping[str, Any], remote: Any) -> Any:
    """Gives the body of the request for a suite run."""
    from interfaces.cli.running.suite_request import LocalSuite, common, selection

    _jobs(options["jobs"])
    asked = common(options)
    if remote is not None:
        suite = LocalSuite(flows, remote, own_rows=not options["data"])
        return lambda client: {**asked, "name": options["suite"] or "", **suite.body(client)}
    from interfaces.cli.planning.plan import given_variables
    from interfaces.cli.running.secret_variables import refuse_secret_names

    variables, project = given_variables(paths, options)
    refuse_secret_names(variables, options["secret_names"])
    chosen = selection(paths, options, variables, project)
    return lambda client: {**asked, **chosen}


def _warn(warnings: Iterable[Any]) -> None:
    for warning in warnings:
        print(printable(str(warning)), file=sys.stderr)


def _view(options: Mapping[str, Any]) -> Any:
    from interfaces.cli.running.progress import live_view

    return live_view(options["progress"], 0, colour=False if options["no_color"] else None, quiet=options["quiet"])


def _local_options(options: Mapping[str, Any]) -> Options:
    from interfaces.cli.running.local_run import Options

    return Options(
        jobs=_jobs(options["jobs"]),
        seed=options["seed"],
        secret_names=frozenset(options["secret_names"]),
        repeat=options["repeat"],
        retries=options["retries"],
        share=_share(options["shard"]),
        max_failures=1 if options["fail_fast"] else options["max_failures"],
        max_seconds=options["max_duration"],
        update_snapshots=options["update_snapshots"],
        accept_new_snapshots=not os.environ.get("CI"),
    )


def _share(text: str | None) -> tuple[int, int]:
    """`2/5` as part 2 of 5."""
    from domain.errors import Invalid

    if text is None:
        return 1, 1
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts) <= 10_000):
        raise Invalid(f"--shard {text}: give the part and the number of parts", remedy="write it like --shard 2/5")
    return int(part), int(parts)


def _sink(collector: Any, view: Any, options: Mapping[str, Any]) -> Any:
    """Where events go: into the collection, the view, and with --format jsonl straight to stdout."""

    def take(event: dict[str, Any]) -> None:
        view.changed(collector.add(event))
        if options["form"] == "jsonl":
            from interfaces.cli.reports.records import as_line

            say(as_line(event).decode(), sys.stdout)

    return take


def _jobs(text: str | None) -> int:
    from domain.errors import Invalid

    if text is None:
        return 1
    if text == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise Invalid(f"-j {text}: give a number from 1 to 256, or auto")
    return int(text)
