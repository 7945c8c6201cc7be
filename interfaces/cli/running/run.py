"""`testmesh run`: flows to verdicts, here or on a server, with the same view, failures, reports and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.errors import ExitCode, fail, worst
from interfaces.cli.options import from_environment, unread_names
from interfaces.cli.running import garbage
from interfaces.cli.running.run_options import run_options
from interfaces.cli.terminal import printable

if TYPE_CHECKING:
    from domain.errors import InvalidFlow, Problem, Refusal
    from interfaces.cli.planning.plan import Planned
    from interfaces.cli.reports.model import Collected, Collector
    from interfaces.cli.running.local_run import Options
    from interfaces.cli.running.progress import View
    from interfaces.cli.running.results import Reports


@from_environment
@click.command()
@click.argument("paths", nargs=-1)
@run_options
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
    from interfaces.cli.running.chosen_flows import chosen_there, in_order
    from interfaces.cli.running.exit_code import exit_code
    from interfaces.cli.running.refused_run import leave_nothing
    from interfaces.cli.running.results import leave_results, parse_reports
    from interfaces.cli.running.secret_variables import doubtful_secrets, refuse_secrets

    reports = parse_reports(options)
    environ = {} if options["remote"] else os.environ
    if chosen_there(paths, options):
        flows: list[Planned] = []
        warnings: list[Problem] = []
    else:
        try:
            flows, warnings = plan(paths, options, strict=True, environ=environ)
        except InvalidFlow as invalid:
            return _refused(invalid, options, reports)
        flows = in_order(flows, paths, options)
    options = {**options, "secret_names": secret_names(paths, options["secrets"])}
    refuse_secrets(flows, options["secret_names"], environ, remote=options["remote"])
    from interfaces.cli.running.local_setup import local_options  # only now: what is refused above is told without it

    local = local_options(options)
    if not options["quiet"]:
        _warn([*unread_names(run), *warnings, *doubtful_secrets(flows, options["secrets"], environ)])
    if not flows and not chosen_there(paths, options):
        return _nothing(options, reports)
    garbage.settle()
    collector = Collector()
    runner, view = _set_up(flows, paths, options, local, collector)
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
    codes: list[ExitCode] = [exit_code(executions, runner.halted, runner.verdict, options)]
    codes += leave_results(executions, sources, options, runner, reports)
    if refusal is not None:
        codes.append(ExitCode(fail(refusal)))
    if not options["remote"]:
        _remember(executions, paths)
    return worst(codes)


def _set_up(
    flows: Sequence[Planned], paths: Sequence[str], options: Mapping[str, Any], local: Options, collector: Collector
) -> tuple[Any, View]:
    """What runs the flows, here or on a server, and the view that shows it."""
    if not options["remote"]:
        from interfaces.cli.running.local_setup import local_runner

        return local_runner(flows, paths, options, local, collector)
    from interfaces.cli.running.remote_setup import remote_runner

    runner, view = remote_runner(flows, paths, options, collector)
    if not options["quiet"]:
        _warn(runner.warnings)
    return runner, view


def _nothing(options: Mapping[str, Any], reports: Reports) -> int:
    """There is nothing to run, which reports say too."""
    from interfaces.cli.running.chosen_flows import none_chosen
    from interfaces.cli.running.refused_run import leave_nothing

    print(none_chosen(options), file=sys.stderr)
    return worst([ExitCode.NOTHING, *leave_nothing(options, reports)])


def _refused(invalid: InvalidFlow, options: Mapping[str, Any], reports: Reports) -> int:
    """Nothing is run; what is invalid is told, and stands in every report."""
    from interfaces.cli.running.refused_run import leave_refused

    code = ExitCode(fail(invalid))
    return worst([code, *leave_refused(invalid, options, reports)])


def _remember(executions: Collected, paths: Sequence[str]) -> None:
    from interfaces.cli.project import find_project
    from interfaces.cli.running.last_run import LastRun

    LastRun(find_project(paths)[1]).keep((file, verdict, case) for _, verdict, file, case in executions.ends())


def _driven(runner: Any, collector: Collector, view: View) -> Refusal | None:
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


def _warn(warnings: Iterable[Any]) -> None:
    for warning in warnings:
        print(printable(str(warning)), file=sys.stderr)
