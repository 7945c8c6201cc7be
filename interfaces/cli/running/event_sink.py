"""Where the events of a run go: into the collection, the live view, and to stdout where it carries them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from interfaces.cli.reports.model import Collector
from interfaces.cli.running.progress import View, live_view
from interfaces.cli.terminal import say


def view_of(options: Mapping[str, Any]) -> View:
    """The live view that was asked for."""
    return live_view(options["progress"], 0, colour=False if options["no_color"] else None, quiet=options["quiet"])


def sink_of(collector: Collector, view: View, options: Mapping[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Takes events, as plain data."""

    def take(event: dict[str, Any]) -> None:
        view.changed(collector.add(event))
        if options["form"] == "jsonl":
            from interfaces.cli.reports.records import as_line

            say(as_line(event).decode(), sys.stdout)

    return take
