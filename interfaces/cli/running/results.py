"""What a run leaves: results on stdout, report files, the saved run, and what CI systems are told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.errors import Invalid, Unavailable
from interfaces.cli.errors import ExitCode, fail
from interfaces.cli.reports.github import add_summary, github, in_actions, without_commands
from interfaces.cli.reports.model import Collected
from interfaces.cli.reports.writers import STDOUT, parse_report, write_report
from interfaces.cli.terminal import patient

WHY = {"interrupted": "the run was interrupted", "time_limit": "the time was up", "fail_fast": "a flow had failed"}
"""What ended a run early, for people."""
Reports = Sequence[tuple[str, Path]]


def parse_reports(options: Mapping[str, Any]) -> Reports:
    """The reports that were asked for, in GitHub Actions with its annotations. Invalid for two things on one stdout."""
    reports = [parse_report(report) for report in options["reports"]]
    wanted = in_actions() if options["github"] is None else options["github"]
    if wanted and "github" not in {kind for kind, _ in reports}:
        reports.append(("github", STDOUT))
    if options["form"] != "text" and any(path == STDOUT and kind != "github" for kind, path in reports):
        raise Invalid(f"--format {options['form']} has standard output for itself", remedy="give the report a file")
    return reports


def leave_results(
    executions: Collected,
    sources: Mapping[str, str],
    options: Mapping[str, Any],
    runner: Any,
    reports: Reports,
    *,
    shown: bool = True,
) -> list[ExitCode]:
    """Write every report, also after one that cannot be written, and show the results, unless that was done. Exit codes of
    what went wrong."""
    from application.flow_documents import without_credentials

    told = _Shown(sources, lambda text: str(runner.masked(without_credentials(text))))
    sources = _Shown(sources, lambda text: str(runner.masked(text)))
    codes = _saved(executions, told, options, runner)
    codes += _written([(kind, path) for kind, path in reports if path != STDOUT], executions, told)
    with_github = ("github", STDOUT) in reports
    with patient(sys.stdout), without_commands(in_actions() and options["form"] == "text"):
        if shown:
            _show(executions, sources, options, runner)
        codes += _written([(kind, path) for kind, path in reports if path == STDOUT and kind != "github"], executions, told)
    if with_github:
        stream = sys.stdout if options["form"] == "text" else sys.stderr
        with patient(stream):
            stream.writelines(part.decode() for part in github(executions, told))
        add_summary(executions, told)
    return codes


class _Shown(Mapping[str, str]):
    """Texts as they may be shown, made so when they are first looked at: most never are."""

    def __init__(self, texts: Mapping[str, str], shown: Callable[[str], str]) -> None:
        self._texts = texts
        self._shown = shown
        self._kept: dict[str, str] = {}

    def __getitem__(self, file: str) -> str:
        if file not in self._kept:
            self._kept[file] = self._shown(self._texts[file])
        return self._kept[file]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _saved(executions: Collected, sources: Mapping[str, str], options: Mapping[str, Any], runner: Any) -> list[ExitCode]:
    if not options["save"]:
        return []
    from interfaces.cli.saved.saved_run import save_run

    try:
        save_run(Path(options["save"]), executions, sources, runner, secret_names=options["secret_names"])
    except Unavailable as refusal:
        return [ExitCode(fail(refusal))]
    return []


def _written(reports: Reports, executions: Collected, sources: Mapping[str, str]) -> list[ExitCode]:
    codes = []
    for kind, path in reports:
        try:
            write_report(kind, path, executions, sources)
        except Unavailable as refusal:
            codes.append(ExitCode(fail(refusal)))
    return codes


def _show(executions: Collected, sources: Mapping[str, str], options: Mapping[str, Any], runner: Any) -> None:
    """The results on stdout: failures in full, then the counts."""
    if options["form"] == "json":
        from interfaces.cli.reports.records import as_json

        sys.stdout.writelines(part.decode() for part in as_json(executions, sources))
        return
    if options["form"] == "jsonl":
        return
    from interfaces.cli.running.again import repeated
    from interfaces.cli.running.summary import show_results

    show_results(
        executions,
        sources,
        runner.total,
        skipped=runner.skipped,
        verbose=options["verbose"],
        again=repeated(options),
        colour=False if options["no_color"] else None,
        responses=options["responses"],
        curl=options["curl"],
        ended_by=WHY.get(runner.halted or ""),
    )
