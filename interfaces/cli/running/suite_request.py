"""What a command line wants run on a server as one suite run: local flows with their rows, or a selection of pushed ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from domain.errors import Invalid, LimitExceeded
from domain.limits import LIMITS
from interfaces.cli.client import Client
from interfaces.cli.planning.plan import Planned
from interfaces.cli.running.remote_flows import RemoteFlows
from interfaces.cli.sending import sent_files


def parse_matrix(given: Sequence[str]) -> dict[str, list[str]]:
    """`browser=a,b` as values by name. Invalid for what is no such text."""
    matrix: dict[str, list[str]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not equals or not name.strip() or name.strip() in matrix:
            raise Invalid(f"--matrix {text}: give each variable once, with its values", remedy="write it like browser=a,b")
        matrix[name.strip()] = [value.strip() for value in values.split(",")]
    return matrix


def wished(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say about waiting, as fields of a request."""
    named = {"priority": options["priority"], "runs_on": list(options["runs_on"]), "queue_timeout": options["queue_timeout"]}
    return {name: value for name, value in named.items() if value}


def common(options: Mapping[str, Any]) -> dict[str, Any]:
    """What any suite run is asked with."""
    body: dict[str, Any] = {"trigger": "cli", "matrix": parse_matrix(options["matrix"]), "fail_fast": options["fail_fast"]}
    body |= wished(options)
    if options["jobs"] is not None and options["jobs"] != "auto":
        body["parallel"] = min(int(options["jobs"]), LIMITS.suite_parallel)
    if options["seed"]:
        body["seed"] = options["seed"]
    if limit := time_limit(options):
        body["timeout"] = f"{limit:g}s"
    return body


def time_limit(options: Mapping[str, Any]) -> float | None:
    """How many seconds the whole run may take, if there is a limit."""
    limit: float | None = options["timeout"] or options["max_duration"]
    return limit


def selection(
    paths: Sequence[str], options: Mapping[str, Any], variables: Mapping[str, Any], project: str | None
) -> dict[str, Any]:
    """The request of flows that were pushed: by suite, tags and one folder."""
    if len(paths) > 1:
        raise Invalid("one folder of pushed flows can be selected", remedy="give the folder above them, or --tags")
    chosen = {"suite": options["suite"], "tags": options["tags"], "folder": paths[0] if paths else None, "project": project}
    return {**{name: value for name, value in chosen.items() if value}, "variables": dict(variables)}


class LocalSuite:
    """The request of local flows, each pinned to its pushed revision where there is one."""

    def __init__(self, flows: Sequence[Planned], remote: RemoteFlows, *, own_rows: bool) -> None:
        """`own_rows` says that rows are those of the flows, not of --data."""
        self._flows = flows
        self._remote = remote
        self._own_rows = own_rows
        self._documents: dict[str, dict[str, Any]] = {}
        self._files: dict[str, bytes] = {}

    def body(self, client: Client) -> dict[str, Any]:
        """The fields of the request. LimitExceeded when the documents are more than a request may have."""
        members = [self._member(client, flow) for flow in self._flows]
        if len(self._documents) > LIMITS.push_documents:
            raise LimitExceeded(
                f"{len(self._documents)} flows are not pushed as they are here; a request may bring {LIMITS.push_documents}",
                remedy="push them first: testmesh flows push",
            )
        given = {name: flow.variables[name] for flow in self._flows for name in flow.given}
        return {
            "project": self._remote.project or None,
            "members": members,
            "documents": list(self._documents.values()),
            "files": sent_files({path: content for path, content in self._files.items() if path not in self._documents}),
            "variables": given,
        }

    def _member(self, client: Client, flow: Planned) -> dict[str, Any]:
        variables = {name: value for name, value in flow.variables.items() if name not in flow.given}
        member: dict[str, Any] = {"variables": variables}
        pushed = self._remote.pushed(client, flow)
        if flow.cases is not None and (pushed is None or not self._own_rows):
            member["rows"] = list(self._rows(flow))
        elif flow.only is not None:
            member["cases"] = sorted(flow.only)
        return {**member, **(pushed or self._document(flow))}

    @staticmethod
    def _rows(flow: Planned) -> Iterator[dict[str, Any]]:
        assert flow.cases is not None
        for case in flow.cases:
            if flow.only is None or case.key in flow.only:
                yield {"key": case.key, "values": dict(case.values)}

    def _document(self, flow: Planned) -> dict[str, Any]:
        bundle = self._remote.found[flow.file].without_rows
        path = bundle.path
        while path in self._documents:
            path = f"_{path}"  # two files of one name from outside of the project
        self._documents[path] = {"path": path, "text": flow.text, "files": sorted(bundle.files)}
        self._files.update(bundle.files)
        return {"document": path, "file": flow.definition.file}
