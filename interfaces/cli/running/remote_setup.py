"""What runs flows on a server, as the options of `testmesh run` want it: one execution, or a suite run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.errors import Invalid
from interfaces.cli.client import Client
from interfaces.cli.planning.plan import Planned, given_variables
from interfaces.cli.reports.model import Collector
from interfaces.cli.running.event_sink import sink_of, view_of
from interfaces.cli.running.jobs import jobs_of
from interfaces.cli.running.progress import View
from interfaces.cli.running.remote_flows import RemoteFlows
from interfaces.cli.running.remote_run import RemoteRun
from interfaces.cli.running.secret_variables import refuse_secret_names
from interfaces.cli.running.suite_request import LocalSuite, common, selection, time_limit, wished
from interfaces.cli.running.suite_run import SuiteRun

SERVER_GRACE = 15.0
"""So many seconds after the time limit of a suite run it is cancelled from here."""


def remote_runner(
    flows: Sequence[Planned], paths: Sequence[str], options: Mapping[str, Any], collector: Collector
) -> tuple[RemoteRun | SuiteRun, View]:
    """One execution where one flow is run, a suite run where there is more to it; with the view that shows it."""
    _refuse_local(flows, options)
    view = view_of(options)
    jobs = [job for flow in flows for job, _ in zip(jobs_of(flow), range(2), strict=False)]
    remote = RemoteFlows(flows) if flows else None
    seconds = time_limit(options)
    more: dict[str, Any] = {name: options[name] for name in ("url", "follow", "idempotency_key")}
    more |= {"remote": remote, "tick": view.tick, "note": view.note}
    sink = sink_of(collector, view, options)
    runner: RemoteRun | SuiteRun
    if len(jobs) == 1 and not options["matrix"] and not flows[0].definition.needs:
        _refuse_unkept(seconds, options)
        runner = RemoteRun(jobs[0], sink, seed=options["seed"], wish=wished(options), max_seconds=seconds, **more)
        view.total = runner.total
    else:

        def counted(total: int) -> None:
            view.total = total

        if seconds:
            seconds += SERVER_GRACE  # the server keeps the limit; this is for one without a coordinator
        body = _asked(flows, paths, options, remote)
        runner = SuiteRun(body, sink, counted=counted, max_seconds=seconds, **more)
    return runner, view


def _refuse_local(flows: Sequence[Planned], options: Mapping[str, Any]) -> None:
    """Invalid for what a server cannot do."""
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


def _refuse_unkept(seconds: float | None, options: Mapping[str, Any]) -> None:
    """Invalid for a time limit that nobody would keep."""
    if seconds and not options["follow"]:
        raise Invalid(
            "--timeout of a single flow is kept by whoever follows it, and --detach follows nothing",
            remedy="give the flow a `timeout`, or leave one of them out",
        )


def _asked(
    flows: Sequence[Planned], paths: Sequence[str], options: Mapping[str, Any], remote: RemoteFlows | None
) -> Callable[[Client], Mapping[str, Any]]:
    """Gives the body of the request for a suite run."""
    asked = common(options)
    if remote is not None:
        suite = LocalSuite(flows, remote, own_rows=not options["data"])
        return lambda client: {**asked, "name": options["suite"] or "", **suite.body(client)}
    variables, project = given_variables(paths, options)
    refuse_secret_names(variables, options["secret_names"])
    chosen = selection(paths, options, variables, project)
    return lambda client: {**asked, **chosen}
