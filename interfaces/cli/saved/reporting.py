"""`testmesh report`: reports of a saved run, made later and elsewhere."""

from __future__ import annotations

import sys

import click

from interfaces.cli.errors import ExitCode, fail, worst
from interfaces.cli.terminal import patient, printable


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--report", "reports", multiple=True, metavar="KIND=PATH", help="As with run; PATH - is standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Show every step of every flow.")
@click.option("--no-color", is_flag=True, help="No colours.")
def report(file: str, reports: tuple[str, ...], verbose: bool, no_color: bool) -> int:
    """Make reports of a saved run (see run --save). Without --report, show it as `run` did; what is not in it is said."""
    from pathlib import Path

    from domain.errors import Unavailable
    from interfaces.cli.reports.github import in_actions, without_commands
    from interfaces.cli.reports.writers import parse_report, write_report
    from interfaces.cli.running.summary import show_results
    from interfaces.cli.saved.saved_run_reading import read_run

    wanted = [parse_report(text) for text in reports]
    saved = read_run(Path(file))
    for text in saved.meta["left_out"]:
        print(printable(f"not in {file}: {text}"), file=sys.stderr)
    codes = [ExitCode.PASSED]
    with patient(sys.stdout), without_commands(in_actions() and all(kind != "github" for kind, _ in wanted)):
        if not wanted:
            skipped = saved.executions.skipped
            colour = False if no_color else None
            show_results(saved.executions, saved.sources, saved.total, skipped=skipped, verbose=verbose, colour=colour)
        for kind, path in wanted:
            try:
                write_report(kind, path, saved.executions, saved.sources)
            except Unavailable as refusal:
                codes.append(ExitCode(fail(refusal)))
    return worst(codes)
