"""The local flows of a remote run as requests have them: the revision that was pushed, or the text with its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from application.bundles import revision_digest
from domain.errors import Problem
from interfaces.cli.client import Client
from interfaces.cli.planning.bundling import Bundler
from interfaces.cli.planning.plan import Planned
from interfaces.cli.project import find_project


class RemoteFlows:
    """What goes with each flow, looked for once."""

    def __init__(self, flows: Sequence[Planned]) -> None:
        project, home = find_project([flow.definition.file for flow in flows])
        self.project = project.project or ""
        bundler = Bundler(home)
        self.found = {flow.file: bundler.found(flow.text, flow.file) for flow in flows}
        self._pushed: dict[str, dict[str, Any] | None] = {}

    @property
    def warnings(self) -> list[Problem]:
        """What flows name and cannot take along."""
        return [warning for found in self.found.values() for warning in found.warnings]

    @property
    def sources(self) -> dict[str, str]:
        """The texts of flows that may be called, by their paths in the project."""
        found = {path: content for found in self.found.values() for path, content in found.bundle.files.items()}
        return {path: content.decode("utf-8", "replace") for path, content in found.items() if path.endswith((".yaml", ".yml"))}

    def pushed(self, client: Client, flow: Planned) -> dict[str, Any] | None:
        """The flow and revision of the server, when it was pushed from this very content."""
        if flow.file not in self._pushed:
            self._pushed[flow.file] = self._looked_up(client, flow)
        return self._pushed[flow.file]

    def _looked_up(self, client: Client, flow: Planned) -> dict[str, Any] | None:
        bundle = self.found[flow.file].bundle
        called = flow.definition.id or bundle.path
        if called:
            wanted = revision_digest(flow.text, bundle.files)
            for row in client.get(client.room("/flows"), called=called)["items"]:
                if row["digest"] == wanted and row["project"] == self.project and not row["archived"]:
                    return {"flow": row["id"], "revision": row["revision"]}
        return None
