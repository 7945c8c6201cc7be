"""What runs flows here, as the options of `testmesh run` want it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from domain.errors import Invalid
from interfaces.cli.planning.plan import Planned
from interfaces.cli.project import find_project
from interfaces.cli.reports.model import Collector
from interfaces.cli.running.event_sink import sink_of, view_of
from interfaces.cli.running.local_run import LocalRun, Options
from interfaces.cli.running.progress import View


def local_options(options: Mapping[str, Any]) -> Options:
    """How flows are run. Invalid for what cannot be read, in remote runs too."""
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
    if text is None:
        return 1, 1
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts) <= 10_000):
        raise Invalid(f"--shard {text}: give the part and the number of parts", remedy="write it like --shard 2/5")
    return int(part), int(parts)


def _jobs(text: str | None) -> int:
    if text is None:
        return 1
    if text == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise Invalid(f"-j {text}: give a number from 1 to 256, or auto")
    return int(text)


def local_runner(
    flows: Sequence[Planned], paths: Sequence[str], options: Mapping[str, Any], local: Options, collector: Collector
) -> tuple[LocalRun, View]:
    """It, with the view that shows it."""
    view = view_of(options)

    def retried(old: str, new: str) -> None:
        collector.retried(old, new)
        view.total += 1

    runner = LocalRun(
        flows,
        sink_of(collector, view, options),
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
