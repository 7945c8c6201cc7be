"""A suite run on a server as a runner of `testmesh run`: requested, followed with the events of all its executions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from domain.errors import Conflict, Problem, Refusal
from interfaces.cli.client import Client, connect_client
from interfaces.cli.running.remote_flows import RemoteFlows
from interfaces.cli.running.remote_following import FIRST_PATIENCE, PATIENCE, Following, goes_on, sendable

MOST_SOURCES = 50
"""Texts of failed flows that are fetched to show where they failed."""


class SuiteRun:
    """Asks for a suite run, or follows one (`id`) that there is. `on_event` gets the events of its executions as plain data."""

    masks_all = False
    """Whether `masked` knows all secrets of the run: workers have told none."""

    def __init__(
        self,
        body: Callable[[Client], Mapping[str, Any]] | None,
        on_event: Callable[[dict[str, Any]], None],
        *,
        id: str = "",
        remote: RemoteFlows | None = None,
        url: str | None = None,
        follow: bool = True,
        cancels: bool = True,
        idempotency_key: str | None = None,
        max_seconds: float | None = None,
        tick: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda text: None,
        counted: Callable[[int], None] = lambda total: None,
    ) -> None:
        """`cancels` says that an interrupt cancels the suite run, and does not merely end the following; `counted` is told how
        many executions there will be."""
        self._body = body
        self._on_event = on_event
        self.id = id
        self._remote = remote
        self._url = url
        self._follow = follow
        self._cancels = cancels
        self._key = idempotency_key
        self._options: dict[str, Any] = {"max_seconds": max_seconds, "tick": tick, "note": note}
        self._note = note
        self._counted = counted
        self._names: list[str] = []
        self._fail_fast = self._time_is_up = False
        self._following: Following | None = None
        self._failed: list[str] = []
        self.sources: dict[str, str] = dict(remote.sources) if remote is not None else {}
        """The texts of flows that may be called, and of some that failed, by file."""
        self.skipped: list[tuple[str, str]] = []
        """Names of cases that were not run, and why."""
        self.total = 0
        """How many cases there are."""
        self.verdict: str | None = None
        """That of the suite run, once it has finished."""

    @property
    def warnings(self) -> list[Problem]:
        """What flows name and cannot take along."""
        return self._remote.warnings if self._remote is not None else []

    @property
    def halted(self) -> str | None:
        """`interrupted`, `time_limit` or `fail_fast` when the run was ended early."""
        halted = self._following.halted if self._following is not None else None
        return (
            halted
            or ("time_limit" if self._time_is_up else None)
            or ("fail_fast" if self._fail_fast and self.verdict not in ("passed", "passed_on_retry") else None)
        )

    def masked(self, value: Any) -> Any:
        """The value as it is: what workers mask is masked in the record."""
        return value

    def run(self) -> None:
        """Request, and follow to the verdict."""
        with connect_client(self._url) as client:
            client.be_patient(FIRST_PATIENCE, self._note)
            position = self._request(client) if self._body is not None else self._known(client, self.id)
            if not self._follow:
                print(self.id, flush=True)
                return
            client.be_patient(PATIENCE, self._note)
            with goes_on(f"suite run {self.id}; see `testmesh suites follow {self.id}`"):
                self._watch(client, position)
            self._fetch_sources(client)

    @staticmethod
    def _known(client: Client, id: str) -> str | None:
        """No position: it is there already. NotFound when it is not."""
        client.get(client.room("/suite-runs", id))
        return None

    def _request(self, client: Client) -> str | None:
        assert self._body is not None
        headers = {"Idempotency-Key": sendable(self._key)}
        answer, position = client.command("POST", client.room("/suite-runs"), self._body(client), twice=True, **headers)
        self.id = str(answer["id"])
        return position

    def _watch(self, client: Client, position: str | None) -> None:
        path = client.room("/suite-runs", self.id)

        async def ready(topic: str) -> None:
            await asyncio.to_thread(client.get, path, min_position=position)

        def cancel(why: str) -> None:
            try:
                client.command("POST", f"{path}/cancel", {"reason": why}, twice=True)
            except Conflict:
                return  # it has finished
            except Refusal as refusal:
                self._note(f"suite run {self.id} could not be cancelled: {refusal.message}")

        left = f"suite run {self.id}; see `testmesh suites follow {self.id}`"
        self._following = Following(client, cancel if self._cancels else None, lambda: left, **self._options)
        self._following.run([f"suite_run:{self.id}"], self._take, ready, f"suite run {self.id}")

    def _take(self, event: dict[str, Any]) -> None:
        kind, _, what = event["topic"].partition(".")
        if kind == "suite_run":
            apply = getattr(self, f"_{what}", None)
            if apply is not None:
                apply(event["event"])
            return
        if what == "finished" and event["event"]["verdict"] not in ("passed", "passed_on_retry"):
            self._failed.append(event["execution"])
        self._on_event(event)

    def _requested(self, data: Mapping[str, Any]) -> None:
        self.total, self._fail_fast = data["total"], data["fail_fast"]
        self._counted(self.total)

    def _cases_planned(self, data: Mapping[str, Any]) -> None:
        for case in data["cases"]:
            label = case["key"][len(case["flow"]) :]
            self._names.append(f"{case['name']} {label}".strip())

    def _cases_skipped(self, data: Mapping[str, Any]) -> None:
        self.skipped += [(self._names[number], data["why"]) for number in data["cases"]]

    def _time_limit_reached(self, data: Mapping[str, Any]) -> None:
        self._time_is_up = True

    def _finished(self, data: Mapping[str, Any]) -> None:
        self.verdict = data["verdict"]

    def _fetch_sources(self, client: Client) -> None:
        """The texts of failed flows that are not here."""
        if self._remote is not None:
            return
        for id in self._failed[:MOST_SOURCES]:
            with suppress(Refusal):
                row = client.get(client.room(f"/executions/{id}"))
                if row["file"] not in self.sources:
                    self.sources[row["file"]] = client.get(client.room(f"/executions/{id}/source"))
