"""Snapshots of a local run: JSON files beside the flows, `__snapshots__/NAME.json`, to be kept in version control."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from application.engine.checks import differences
from application.engine.snapshots import not_accepted, snapshot_file
from domain.errors import Unavailable


class SnapshotFiles:
    """Reads each file once, and writes those that changed at the end of the run."""

    def __init__(self, *, update: bool, accept_new: bool) -> None:
        """`update` accepts everything as it is now; without `accept_new` a value that has no snapshot is a difference."""
        self._update = update
        self._accept_new = accept_new
        self._known: dict[Path, dict[str, Any]] = {}
        self._changed: set[Path] = set()
        self.accepted = 0
        """Snapshots that were written anew or replaced."""

    def compare(self, file: str, name: str, value: Any) -> Sequence[str]:
        """See application.engine.snapshots."""
        path = Path(snapshot_file(file))
        known = self._load(path)
        if name in known and (known[name] == value or not self._update):
            return differences(known[name], value)
        if name not in known and not (self._accept_new or self._update):
            return [not_accepted(name)]
        known[name] = value
        self._changed.add(path)
        self.accepted += 1
        return []

    def write(self) -> None:
        """Write what changed. Unavailable when that is not possible."""
        for path in self._changed:
            try:
                path.parent.mkdir(exist_ok=True)
                partial = path.with_name(f".{path.name}.part")
                partial.write_text(json.dumps(self._known[path], indent=2, sort_keys=True, ensure_ascii=False) + "\n")
                partial.replace(path)
            except OSError as error:
                raise Unavailable(f"the snapshot {path} cannot be written: {error.strerror}") from error
        self._changed.clear()

    def _load(self, path: Path) -> dict[str, Any]:
        if path not in self._known:
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                found = {}
            except (OSError, ValueError) as error:
                raise Unavailable(f"the snapshot {path} cannot be read: {error}") from error
            self._known[path] = found if isinstance(found, dict) else {}
        return self._known[path]
