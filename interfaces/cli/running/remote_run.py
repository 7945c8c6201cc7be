"""Remote runs of one flow: requested on a server, followed live, with the same events as here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.errors import Conflict, Problem, Refusal
from interfaces.cli.client import Client, connect_client
from interfaces.cli.planning.plan import Planned
from interfaces.cli.running.jobs import Job
from interfaces.cli.running.remote_flows import RemoteFlows
from interfaces.cli.running.remote_following import FIRST_PATIENCE, PATIENCE, Following, goes_on, sendable
from interfaces.cli.sending import sent_files


class RemoteRun:
    """Requests a flow, or a row of it, pinned to its pushed revision where there is one, and follows it. `on_event` gets
    events as plain data."""

    total = 1
    """How many executions there will be."""
    masks_all = False
    """Whether `masked` knows all secrets of the run: workers have told none."""
    skipped: Sequence[tuple[str, str]] = ()
    """None: what is requested is run."""
    verdict: str | None = None
    """The execution says it."""

    def __init__(
        self,
        job: Job,
        on_event: Callable[[dict[str, Any]], None],
        *,
        remote: RemoteFlows,
        url: str | None = None,
        follow: bool = True,
        seed: str | None = None,
        wish: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        max_seconds: float | None = None,
        tick: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`wish` are fields of the request about waiting."""
        self._wish = wish or {}
        self._job = job
        self._on_event = on_event
        self._remote = remote
        self._url = url
        self._follow = follow
        self._seed = seed
        self._key = idempotency_key
        self._options: dict[str, Any] = {"max_seconds": max_seconds, "tick": tick, "note": note}
        self._note = note
        self._following: Following | None = None

    @property
    def warnings(self) -> list[Problem]:
        """What the flow names and cannot take along."""
        return self._remote.warnings

    @property
    def sources(self) -> dict[str, str]:
        """The texts of flows that may be called, by their paths in the project."""
        return self._remote.sources

    def masked(self, value: Any) -> Any:
        """The value as it is: what workers mask is masked in the record."""
        return value

    @property
    def halted(self) -> str | None:
        """`interrupted` or `time_limit` when the run was ended early."""
        return self._following.halted if self._following is not None else None

    def run(self) -> None:
        """Request, and follow to the verdict."""
        with connect_client(self._url) as client:
            client.be_patient(FIRST_PATIENCE, self._note)
            id, position = self._request(client)
            if not self._follow:
                print(id, flush=True)
                return
            client.be_patient(PATIENCE, self._note)
            with goes_on(f"{id}; see `testmesh runs follow {id}`"):
                self._watch(client, id, position)

    def _request(self, client: Client) -> tuple[str, str]:
        flow = self._job.flow
        what = self._remote.pushed(client, flow) or self._sent(flow)
        body: dict[str, Any] = {"variables": dict(self._job.variables), "trigger": "cli", **self._wish, **what}
        if self._job.case:
            body["case"] = self._job.case
        if self._seed:
            body["seed"] = self._seed
        headers = {"Idempotency-Key": sendable(self._key)}
        answer, position = client.command("POST", client.room("/executions"), body, twice=True, **headers)
        return str(answer["id"]), str(position)

    def _sent(self, flow: Planned) -> dict[str, Any]:
        bundle = self._remote.found[flow.file].without_rows
        what: dict[str, Any] = {"document": flow.text, "file": flow.definition.file}
        return {**what, "path": bundle.path, "files": sent_files(bundle.files)} if bundle.files else what

    def _watch(self, client: Client, id: str, position: str) -> None:
        async def ready(topic: str) -> None:
            await asyncio.to_thread(client.get, client.room("/executions", id), min_position=position)

        def cancel(why: str) -> None:
            try:
                client.command("POST", client.room(f"/executions/{id}/cancel"), {"reason": why}, twice=True)
            except Conflict:
                return  # it has finished
            except Refusal as refusal:
                self._note(f"{id} could not be cancelled: {refusal.message}")

        self._following = Following(client, cancel, lambda: f"{id}; see `testmesh runs follow {id}`", **self._options)
        self._following.run([f"execution:{id}"], self._on_event, ready)
