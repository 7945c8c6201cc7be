"""Remote runs: flows requested on a server, followed live, with the same events as here."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from application.bundles import revision_digest
from domain.errors import Conflict, Problem, Refusal
from interfaces.cli.client import Client, connect_client
from interfaces.cli.planning.bundling import Bundler
from interfaces.cli.planning.plan import Planned
from interfaces.cli.project import find_project
from interfaces.cli.running.jobs import Job, jobs_of
from interfaces.cli.sending import sent_files

TICK_SECONDS = 0.1


class RemoteRun:
    """Requests every flow, pinned to its pushed revision where there is one, and follows them. `on_event` gets events as
    plain data."""

    def __init__(
        self,
        flows: Sequence[Planned],
        on_event: Callable[[dict[str, Any]], None],
        *,
        url: str | None = None,
        follow: bool = True,
        seed: str | None = None,
        idempotency_key: str | None = None,
        max_seconds: float | None = None,
        tick: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._jobs = [job for flow in flows for job in jobs_of(flow)]
        self._on_event = on_event
        self._url = url
        self._follow = follow
        self._seed = seed
        self._key = idempotency_key
        self._max_seconds = max_seconds
        self._tick = tick
        self._note = note
        self._cancelling: asyncio.Task[None] | None = None
        project, self._home = find_project([flow.definition.file for flow in flows])
        self._project = project.project or ""
        bundler = Bundler(self._home)
        self._found = {flow.file: bundler.found(flow.text, flow.file) for flow in flows}
        self._wanted: dict[str, dict[str, Any]] = {}
        self._halted: str | None = None
        self._open: set[str] = set()

    @property
    def total(self) -> int:
        """How many executions there will be."""
        return len(self._jobs)

    @property
    def warnings(self) -> list[Problem]:
        """What flows name and cannot take along."""
        return [warning for found in self._found.values() for warning in found.warnings]

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """None: what is requested is run."""
        return []

    @property
    def sources(self) -> dict[str, str]:
        """The texts of flows that may be called, by their paths in the project."""
        found = {path: content for found in self._found.values() for path, content in found.bundle.files.items()}
        return {path: content.decode("utf-8", "replace") for path, content in found.items() if path.endswith((".yaml", ".yml"))}

    masks_all = False
    """Whether `masked` knows all secrets of the run: workers have told none."""

    def masked(self, value: Any) -> Any:
        """The value as it is: what workers mask is masked in the record."""
        return value

    @property
    def halted(self) -> str | None:
        """`interrupted` or `time_limit` when the run was ended early."""
        return self._halted

    def run(self) -> None:
        """Request, and follow to the last verdict. What was requested before a refusal is named."""
        with connect_client(self._url) as client:
            ids = self._request_all(client)
            if self._follow:
                asyncio.run(self._follow_all(client, ids))

    def _request_all(self, client: Client) -> list[tuple[str, str]]:
        ids: list[tuple[str, str]] = []
        try:
            for number, job in enumerate(self._jobs):
                ids.append(self._request(client, job, number))
                if not self._follow:
                    print(ids[-1][0], flush=True)
        except BaseException:
            if ids and self._follow:
                self._note(f"requested already, and not followed: {' '.join(id for id, _ in ids)}")
            raise
        return ids

    def _request(self, client: Client, job: Job, number: int) -> tuple[str, str]:
        flow = job.flow
        body: dict[str, Any] = {"variables": dict(job.variables), "trigger": "cli", **self._what(client, flow)}
        if job.case:
            body["case"] = job.case
        if self._seed:
            body["seed"] = self._seed
        headers = {}
        if self._key:
            key = self._key if len(self._jobs) == 1 else f"{self._key}:{number}:{flow.definition.file}"
            headers["Idempotency-Key"] = key[:255].encode("ascii", "replace").decode()
        answer, position = client.command("POST", client.room("/executions"), body, **headers)
        return str(answer["id"]), str(position)

    def _what(self, client: Client, flow: Planned) -> dict[str, Any]:
        """The revision of the server when it was pushed from this very content, else the text and its files."""
        if flow.file not in self._wanted:
            self._wanted[flow.file] = self._pushed(client, flow) or self._sent(flow)
        return self._wanted[flow.file]

    def _pushed(self, client: Client, flow: Planned) -> dict[str, Any] | None:
        bundle = self._found[flow.file].bundle
        called = flow.definition.id or bundle.path
        if called:
            wanted = revision_digest(flow.text, bundle.files)
            for row in client.get(client.room("/flows"), called=called)["items"]:
                if row["digest"] == wanted and row["project"] == self._project and not row["archived"]:
                    return {"flow": row["id"], "revision": row["revision"]}
        return None

    def _sent(self, flow: Planned) -> dict[str, Any]:
        bundle = self._found[flow.file].without_rows
        what: dict[str, Any] = {"document": flow.text, "file": flow.definition.file}
        return {**what, "path": bundle.path, "files": sent_files(bundle.files)} if bundle.files else what

    async def _follow_all(self, client: Client, ids: Sequence[tuple[str, str]]) -> None:
        loop = asyncio.get_running_loop()
        self._open = {id for id, _ in ids}
        following = asyncio.create_task(self._take_all(client, dict(ids)))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._halt, "interrupted", client, following)
        limit = loop.call_later(self._max_seconds, self._halt, "time_limit", client, following) if self._max_seconds else None
        ticking = asyncio.create_task(self._ticks())
        try:
            await following
        except asyncio.CancelledError:
            if self._halted is None:
                raise
            self._note(f"left to the server: {' '.join(sorted(self._open))}; see `testmesh runs follow ID`")
        finally:
            ticking.cancel()
            if limit is not None:
                limit.cancel()

    async def _take_all(self, client: Client, positions: Mapping[str, str]) -> None:
        async def ready(topic: str) -> None:
            id = topic.partition(":")[2]
            await asyncio.to_thread(client.get, client.room("/executions", id), min_position=positions[id])

        stream = client.stream([f"execution:{id}" for id in positions], note=self._note, ready=ready)
        async for event in stream.events():
            self._on_event(event)
            if event["topic"] == "execution.finished":
                self._open.discard(event["execution"])

    def _halt(self, why: str, client: Client, following: asyncio.Task[None]) -> None:
        """The first time: cancel what runs and wait for its teardown. The second time: leave it."""
        if self._halted is not None:
            following.cancel()
            return
        self._halted = why
        self._note(f"{why.replace('_', ' ')}: cancelling {len(self._open)}, teardown still runs; Ctrl-C now leaves them alone")
        self._cancelling = asyncio.create_task(self._cancel(client, why))

    async def _cancel(self, client: Client, why: str) -> None:
        for id in sorted(self._open):
            try:
                await asyncio.to_thread(client.command, "POST", client.room(f"/executions/{id}/cancel"), {"reason": why})
            except Conflict:
                continue
            except Refusal as refusal:
                self._note(f"{id} could not be cancelled: {refusal.message}")

    async def _ticks(self) -> None:
        while True:
            self._tick()
            await asyncio.sleep(TICK_SECONDS)
