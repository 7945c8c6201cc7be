"""Which of the flows of a plan are run, in which order, and what is said where none is left."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from domain.errors import Invalid
from interfaces.cli.planning.plan import Planned


def chosen_there(paths: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Whether flows are chosen among those that were pushed, not among files here."""
    if not options["remote"]:
        for name in ("pushed", "matrix", "priority", "runs_on", "queue_timeout"):
            if options[name]:
                raise Invalid(f"--{name.replace('_', '-')} works with --remote alone")
    if options["pushed"] and options["cases"]:
        raise Invalid("--case chooses among files here", remedy="leave out --pushed")
    return bool(options["remote"] and (options["pushed"] or (options["suite"] and not paths)))


def in_order(flows: list[Planned], paths: Sequence[str], options: Mapping[str, Any]) -> list[Planned]:
    """What is left of the flows, in the order in which they begin."""
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


def none_chosen(options: Mapping[str, Any]) -> str:
    """Why there is nothing to run, and what to do."""
    if options["last_failed"]:
        return "nothing failed last time"
    if given := _given(options):
        return f"no flow was selected by {given}"
    return "no flow was found: `testmesh init` begins a project"


def _given(options: Mapping[str, Any]) -> str:
    """The options that leave flows out, as they were given."""
    named = [("--suite", options["suite"]), ("--tags", options["tags"]), ("-k", options["text"])]
    named += [("--case", key) for key in options["cases"]]
    return " ".join(f"{flag} {shlex.quote(value)}" for flag, value in named if value)
