"""The protocol with one guard taken away at a time, each with a short history in which that is fatal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg

from application import leases
from application.claims import claim
from application.dispatch import Dispatcher
from application.executions import Executions
from application.group_commit import is_connection_error
from application.log import Log, VersionConflict
from application.ports import RunCommand
from application.recorder import AttemptRecorder
from application.sweeper import BY, Sweeper
from domain.events import Actor
from domain.execution import AttemptNotMine, Execution
from tests.model.workers import LossyCommitter
from tests.model.world import Parts, World

# Mutated parts ----------------------------------------------------------------------------------------------------


class NoVersionCheck(LossyCommitter):
    """What is refused is appended at the next free version."""

    def _write(self, batch: Any) -> list[int]:
        try:
            return super()._write(batch)
        except psycopg.errors.UniqueViolation:
            return super()._write([self._renumbered(append) for append in batch])

    def _renumbered(self, append: Any) -> Any:
        id = append.events[0].originator_id
        sql = f"SELECT max(originator_version) FROM {self._schema}.events WHERE originator_id = %s"
        (newest,) = self._connected().execute(sql.encode(), (id,)).fetchone() or (0,)
        events = [replace(event, originator_version=newest + 1 + n) for n, event in enumerate(append.events)]
        return replace(append, events=events)


class BlindRetry(NoVersionCheck):
    """After a lost acknowledgement everything is sent again, without a look at what is there."""

    def _write(self, batch: Any) -> list[int]:
        try:
            return LossyCommitter._write(self, batch)
        except Exception as error:
            if not is_connection_error(error):
                raise
        return LossyCommitter._write(self, [self._renumbered(append) for append in batch])


class CoarseFence(AttemptRecorder):
    """A fence of worker and attempt alone."""

    def _apply(self, commands: Any) -> None:
        execution: Any = self.execution

        def owned(attempt: int, worker: str, teardown: int) -> None:
            if (execution.attempt, execution.worker) != (attempt, worker):
                raise AttemptNotMine("another worker's")

        execution._must_own = owned
        super()._apply(commands)


def claim_without_state(log: Log, command: RunCommand, worker: str) -> Execution | None:
    """Whatever is delivered is begun."""
    execution = log.find(Execution, command.execution)
    assert execution is not None
    by = Actor(f"worker:{worker}")
    values: dict[str, Any] = {"attempt": command.attempt, "worker": worker}
    if command.kind == "teardown":
        execution._record(Execution.TeardownStarted, by, **values, number=command.number)
    else:
        execution._record(Execution.AttemptStarted, by, **values)
    log.put(execution, side=[leases.take(execution.id, command.attempt, command.kind, worker, 100.0)])
    return execution


def claim_without_lease(log: Log, command: RunCommand, worker: str) -> Execution | None:
    """The lease row is written in a transaction of its own, which comes too late."""
    execution = claim(log, command, worker)
    if execution is not None:
        assert log.database is not None
        write = leases.release(execution.id, worker)
        with log.database.pool.connection() as connection:
            connection.execute(write.sql.encode(), write.params)
    return execution


def claim_that_gives_up(log: Log, command: RunCommand, worker: str) -> Execution | None:
    """A version conflict is taken for the claim of another worker."""

    class Once:
        def find(self, kind: Any, id: UUID) -> Any:
            return log.find(kind, id)

        def put(self, *aggregates: Any, **options: Any) -> int:
            try:
                return log.put(*aggregates, **options)
            except VersionConflict as error:
                raise AttemptNotMine(str(error)) from error

    once: Any = Once()
    return claim(once, command, worker)


def claim_without_a_place(log: Log, command: RunCommand, worker: str) -> Execution | None:
    """A place is taken, whether there is one or not."""
    assert log.database is not None
    with log.database.pool.connection() as connection:
        sql = "UPDATE executions.group_places SET held_since = clock_timestamp() WHERE execution = %s"
        connection.execute(sql, (command.execution,))
    return claim(log, command, worker)


class DeafToEnds(Dispatcher):
    """Nobody is called when a place becomes free."""

    def _mind_groups(self, events: Sequence[Any]) -> None:
        super()._mind_groups([event for event in events if isinstance(event, Execution.Requested)])


class CallsNobody(Sweeper):
    """Nobody is called again."""

    def call(self) -> int:
        return 0


class ForgetsWhomItCalled(CallsNobody):
    """Those that were called and have to wait now are lost with the queue."""

    def _uncall(self) -> None:
        """Nothing."""


class NoLeaseSweep(Sweeper):
    """Nobody looks at the leases."""

    def sweep_leases(self) -> int:
        return 0


class NoRestore(Sweeper):
    """Nobody notices that the queue was emptied; its mark is simply made anew."""

    def restore_queue(self) -> int:
        self._queue.begin_epoch("new")
        self._queue.commit_epoch("new")
        return 0


class ReadModelOfYesterday(Sweeper):
    """What waits is read before the read model has reached the head of the log."""

    def restore_queue(self) -> int:
        self._caught_up = lambda head: True
        return super().restore_queue()


class AnyLease(Sweeper):
    """What was seen to be lost is taken and forgotten without a look at whose it is now."""

    def _abandon(self, lost: leases.Lost) -> bool:
        execution = self._log.find(Execution, lost.execution)
        assert execution is not None
        assert self._log.database is not None
        try:
            execution.abandon(BY, lost.attempt, "worker_lost")
            self._log.put(execution, side=[leases.release(lost.execution, lost.worker)])
        except AttemptNotMine:
            with self._log.database.pool.connection() as connection:
                connection.execute("DELETE FROM executions.leases WHERE execution = %s", (lost.execution,))
        return True


class EndsWithoutTeardown(Sweeper):
    """A lost attempt is ended at once."""

    def _abandon(self, lost: leases.Lost) -> bool:
        execution = self._log.load(Execution, lost.execution)
        execution._end(BY, "error", "worker_lost", "")
        self._log.put(execution, side=[leases.release(lost.execution, lost.worker)])
        return True


class TracksFirst(Dispatcher):
    """The position is noted before the commands are sent."""

    def step(self) -> int:
        batch = self._log.read(self._position(), 500)
        if batch:
            super()._advance(self._position(), batch[-1].position)
            self._advance(0, 0)
        self._known = self._position() if not batch else 0
        return super().step() if batch else 0


class CancelIsTheEnd(Executions):
    """A cancel ends an execution whatever it was doing."""

    def cancel(self, by: Actor, workspace: str, id: UUID, reason: str = "") -> int:
        execution = self.get(workspace, id)
        execution._end(by, "cancelled", "", reason)
        return self.log.put(execution)


def beat_of_process(connection: psycopg.Connection[Any], worker: str, held: Sequence[UUID]) -> list[leases.Beat]:
    """The process is alive, so all that it ever claimed is."""
    rows = connection.execute("SELECT execution FROM executions.leases WHERE worker = %s", (worker,)).fetchall()
    return leases.beat(connection, worker, [row[0] for row in rows])


# Histories --------------------------------------------------------------------------------------------------------


def begun(world: World, worker: int = 0, records: int = 3) -> None:
    """An execution is requested, claimed, and has begun a step."""
    world.submit()
    world.dispatch()
    world.deliver(worker)
    world.advance(worker, records=records)


def lost(world: World) -> None:
    """Its lease runs out."""
    world.tick(16)
    world.sweep()
    world.sweep()


def replaced_by_another(world: World) -> None:
    begun(world)
    lost(world)
    world.dispatch()
    world.deliver(1)
    world.advance(0)


def replaced_by_its_own_worker(world: World) -> None:
    begun(world)
    lost(world)
    world.dispatch()
    world.deliver(0)
    world.advance(0, 0)


def delivered_twice(world: World) -> None:
    begun(world)
    world.deliver_again(1)


def dies_in_the_middle(world: World) -> None:
    begun(world)
    world.crash(0)


def dies_with_the_entry(world: World) -> None:
    world.submit()
    world.dispatch()
    world.deliver(0, dies=True)


def forgotten_by_redis(world: World) -> None:
    world.submit()
    world.dispatch()
    world.wipe()


def forgotten_while_the_projector_lags(world: World) -> None:
    world.submit()
    world.dispatch()
    world.wipe()
    world.restore()


def end_without_an_answer(world: World) -> None:
    begun(world, records=8)
    world.lose_acknowledgement(0)
    world.advance(0)


def claim_without_an_answer(world: World) -> None:
    begun(world, records=0)
    world.drop(0)


def cancelled_during_the_claim(world: World) -> None:
    dies_in_the_middle(world)
    lost(world)
    world.dispatch()
    world.deliver(1, between=lambda: world.cancel(0))


def second_sweeper_is_late(world: World) -> None:
    dies_in_the_middle(world)
    world.tick(16)
    world.sweep_half()
    world.sweep_half()
    world.sweep()
    world.dispatch()
    world.sweep_late(between=lambda: world.deliver(1))


def dispatcher_dies(world: World) -> None:
    world.submit()
    world.die_dispatching()


def cancelled_in_the_middle(world: World) -> None:
    begun(world)
    world.cancel(0)


def stray_while_the_lock_is_held(world: World) -> None:
    world.submit(lock=True)
    world.submit(lock=True)
    world.dispatch()
    world.deliver(0)
    world.stray(1, 1)


def two_after_one_another(world: World) -> None:
    world.submit(lock=True)
    world.submit(lock=True)
    world.dispatch()
    world.deliver(0)
    world.advance(0, records=9)


def called_overtaken_and_forgotten(world: World) -> None:
    world.submit(lock=True)
    world.dispatch()
    world.submit(lock=True, priority="high")
    world.wipe()
    world.project()
    world.restore()
    world.dispatch()
    world.deliver(0)
    world.advance(0, records=9)
    while world.dispatch():
        pass


@dataclass(frozen=True)
class Mutation:
    """A guard that is gone, a history, and words of what is then found."""

    name: str
    parts: Parts
    history: Callable[[World], None]
    found: str


MUTATIONS = (
    Mutation("no version check", Parts(committer=NoVersionCheck), replaced_by_another, "by a session that was replaced"),
    Mutation("fence of worker and attempt alone", Parts(recorder=CoarseFence), replaced_by_its_own_worker, "was replaced"),
    Mutation("claim without state check", Parts(claim=claim_without_state), delivered_twice, "attempts began as"),
    Mutation("claim and lease in two transactions", Parts(claim=claim_without_lease), begun, "without a lease"),
    Mutation(
        "claim gives up on a conflict", Parts(claim=claim_that_gives_up), cancelled_during_the_claim, "nobody will be told"
    ),
    Mutation("no lease sweep", Parts(sweeper=NoLeaseSweep), dies_in_the_middle, "never end"),
    Mutation("no re-dispatch", Parts(sweeper=NoRestore), forgotten_by_redis, "nobody will be told"),
    Mutation(
        "re-dispatch from a lagging read model",
        Parts(sweeper=ReadModelOfYesterday),
        forgotten_while_the_projector_lags,
        "nobody will be told",
    ),
    Mutation("late sweeper takes any lease", Parts(sweeper=AnyLease), second_sweeper_is_late, "without a lease"),
    Mutation(
        "end without teardown", Parts(sweeper=EndsWithoutTeardown), lambda w: (dies_in_the_middle(w), lost(w))[0], "teardown"
    ),
    Mutation("cancel ends at once", Parts(executions=CancelIsTheEnd), cancelled_in_the_middle, "without teardown"),
    Mutation("blind retry of the terminal append", Parts(committer=BlindRetry), end_without_an_answer, "terminal event"),
    Mutation("acknowledgement before the claim", Parts(acknowledges_first=True), dies_with_the_entry, "nobody will be told"),
    Mutation("lease of the process", Parts(beat=beat_of_process), claim_without_an_answer, "never end"),
    Mutation("claim without a place", Parts(claim=claim_without_a_place), stray_while_the_lock_is_held, "2 hold a lock"),
    Mutation(
        "nobody is called at an end", Parts(dispatcher=DeafToEnds, sweeper=CallsNobody), two_after_one_another, "never end"
    ),
    Mutation(
        "called, overtaken, forgotten",
        Parts(sweeper=ForgetsWhomItCalled),
        called_overtaken_and_forgotten,
        "nobody will be told",
    ),
    Mutation("position before the queue", Parts(dispatcher=TracksFirst), dispatcher_dies, "nobody will be told"),
)
