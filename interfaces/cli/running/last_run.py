"""What did not pass last time in a project: kept in the user's cache, for --last-failed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import orjson

from interfaces.cli.planning.plan import Planned
from interfaces.cli.project import in_project

Case = tuple[str, str]
"""A flow's path in the project, and the key of its row."""


class LastRun:
    """The failures of one project."""

    def __init__(self, home: Path) -> None:
        self._home = home
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        name = hashlib.sha256(str(home.resolve()).encode("utf-8", "replace")).hexdigest()[:16]
        self._path = Path(base) / "testmesh" / "last-run" / f"{name}.json"

    def only_failed(self, flows: Iterable[Planned]) -> list[Planned]:
        """Of the flows those that did not pass last time, and of rows of data only such."""
        failed = self._load()
        found = []
        for flow in flows:
            cases = frozenset(case for path, case in failed if path == in_project(flow.file, self._home))
            if cases:
                found.append(replace(flow, only=cases if flow.cases is not None else None))
        return found

    def keep(self, ended: Iterable[tuple[str, str | None, str]]) -> None:
        """Remember file, verdict and case of what has ended; what was not run stays as it was. A cache that cannot be written
        is no reason to fail."""
        failed = self._load()
        for file, verdict, case in ended:
            entry = (in_project(file, self._home), case.partition("#")[0])
            if verdict in ("passed", "passed_on_retry"):
                failed.discard(entry)
            else:
                failed.add(entry)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(f".{os.getpid()}")
            partial.write_bytes(orjson.dumps({"failed": sorted(failed)}))
            partial.replace(self._path)
        except OSError:
            return

    def _load(self) -> set[Case]:
        try:
            found = orjson.loads(self._path.read_bytes())
            return {(str(path), str(case)) for path, case in found["failed"]}
        except (OSError, ValueError, KeyError, TypeError):
            return set()
