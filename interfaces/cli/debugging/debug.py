"""`testmesh debug`: one flow, step by step, at a prompt."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.errors import ExitCode, of_verdicts
from interfaces.cli.options import VARIABLE_OPTIONS, with_options_of
from interfaces.cli.running.run import run
from interfaces.cli.terminal import patient, printable

if TYPE_CHECKING:
    from interfaces.cli.planning.plan import Planned
    from interfaces.cli.reports.model import Collector
    from interfaces.cli.running.local_run import LocalRun


@with_options_of(run, {*VARIABLE_OPTIONS, "data", "secrets", "seed"})
@click.command()
@click.argument("flow", metavar="FILE[:LINE]")
@click.option("--break", "breakpoints", multiple=True, metavar="STEP|LINE", help="Run on to this step; may be repeated.")
@click.option("--case", metavar="KEY", help="The row of data; the first unless set.")
def debug(flow: str, breakpoints: tuple[str, ...], case: str | None, **options: Any) -> int:
    """Go through a flow: before each step it is shown with its config resolved, and a prompt asks what to do; h lists the
    commands. A pipe may give them too.

    With :LINE, only the step at that line and what it needs, as `testmesh run` does, and the first stop is there. Flows that
    it needs run before without stops. Time limits of flows do not count meanwhile.
    """
    from domain.errors import Invalid
    from interfaces.cli.demo import demo_beside

    if flow == "-":
        raise Invalid("commands come from standard input, so the flow cannot", remedy="give a flow file")
    with demo_beside((flow,), options) as given:
        return _debug(flow, breakpoints, case, given)


def _debug(flow: str, breakpoints: tuple[str, ...], case: str | None, options: dict[str, Any]) -> int:
    from interfaces.cli.planning.plan import plan
    from interfaces.cli.reports.model import Collector

    flows, warnings = plan((flow,), options, strict=True, environ=os.environ)
    for warning in warnings:
        print(printable(str(warning)), file=sys.stderr)
    flows = _with_one_case(flows, case)
    collector = Collector()
    runner = _runner(flows, collector, {*breakpoints, *_line_of(flow)}, options)
    executions = collector.finish()
    with patient(sys.stdout):
        _show(executions, runner, flows, options)
    if runner.halted:
        return ExitCode.INTERRUPTED
    return of_verdicts(verdict or "error" for _, verdict, _, _ in executions.ends())


def _with_one_case(flows: list[Planned], case: str | None) -> list[Planned]:
    """The flow with one row of its data, the last of those planned, with what it needs before it."""
    from domain.errors import Invalid, NotFound

    wanted = [flow for flow in flows if not any(flow.file in other.needs for other in flows)]
    if len(wanted) != 1:
        raise Invalid(f"{len(wanted)} flows are there; one at a time can be debugged", remedy="give a flow file")
    flow = wanted[0]
    if flow.cases is not None:
        keys = [row.key for row in flow.cases]
        if case is not None and case not in keys:
            raise NotFound(f"{flow.file} has no row {case!r}", remedy=f"it has {', '.join(keys[:5])}")
        flow = replace(flow, only=frozenset([case or keys[0]]))
    return [*(other for other in flows if other.file != flow.file), flow]


def _line_of(flow: str) -> list[str]:
    """The line, where the flow is FILE:LINE."""
    from application.flow_documents import flow_files

    (file,) = flow_files((flow,), Path.cwd())
    return [str(file.line)] if file.line is not None else []


def _runner(flows: list[Planned], collector: Collector, breakpoints: set[str], options: dict[str, Any]) -> LocalRun:
    """The run, which has ended."""
    from interfaces.cli.debugging.breakpoints import at_steps
    from interfaces.cli.debugging.commands import Commands
    from interfaces.cli.debugging.debugger import Debugger
    from interfaces.cli.project import find_project, secret_names
    from interfaces.cli.running.local_run import LocalRun, Options
    from interfaces.cli.running.secret_variables import refuse_secrets

    hidden = secret_names((flows[-1].file,), options["secrets"])
    refuse_secrets(flows, hidden, os.environ)

    def take(event: dict[str, Any]) -> None:
        collector.add(event)

    commands = Commands()
    debugger = Debugger(commands, at_steps(flows[-1].definition, breakpoints))
    debugger.run = runner = LocalRun(
        flows,
        take,
        options=Options(seed=options["seed"], secret_names=frozenset(hidden)),
        folder=find_project((flows[-1].file,))[1],
        environ=os.environ,
        note=lambda text: print(text, file=sys.stderr),
        observer=debugger,
        observed=flows[-1].file,
    )
    try:
        runner.run()
    finally:
        commands.close()
    return runner


def _show(executions: Any, runner: LocalRun, flows: list[Planned], options: dict[str, Any]) -> None:
    from interfaces.cli.running.again import repeated
    from interfaces.cli.running.summary import show_results

    sources = {**runner.sources, **{flow.file: flow.text for flow in flows}}
    print()
    show_results(executions, sources, runner.total, skipped=runner.skipped, again=repeated(options))
