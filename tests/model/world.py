"""The dispatch protocol without processes: the real claim, recorder, dispatcher, sweeper and projector over a real PostgreSQL,
a queue that may forget, and a clock that moves when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from application import group_places, leases
from application.claims import UnknownExecution, claim
from application.database import Database
from application.dispatch import Dispatcher
from application.executions import Executions, RunRequest
from application.flow_documents import read_flow
from application.log import Log
from application.payloads import MemoryPayloads
from application.ports import Delivery, RunCommand
from application.recorder import AttemptRecorder
from application.sweeper import Sweeper
from domain.execution import Execution, ExecutionFinished
from projections.execution_list import ExecutionList
from projections.positions import position
from projections.projector import Projector
from projections.rebuild import checksum, rebuild
from projections.registry import for_log
from tests.chaos.checker import Event, broken_promises, broken_so_far
from tests.model.workers import LossyCommitter, Session, Worker
from tests.support.local import BY, Calls, small_actions
from tests.support.memory_queue import MemoryQueue

FLOW = (
    "flow:\n  name: model\n{lock}  config: {{priority: {priority}, on_worker_lost: {lost}}}\n"
    "  steps:\n    - {{id: one, action: say, config: {{message: one}}}}\n"
)
LOCK = "  lock: db\n"
CLOCK = """
CREATE SCHEMA fake;
CREATE TABLE fake.clock (at timestamptz NOT NULL);
INSERT INTO fake.clock VALUES ('2026-01-01Z');
CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM fake.clock';
"""
EMPTIED = ("events", "snapshots", "leases", "resent", "tracking", "group_places")
BETWEEN = Callable[[], object]
WORKERS = 3


@dataclass(frozen=True)
class Parts:
    """The parts of the protocol; a mutation replaces one."""

    claim: Callable[[Log, RunCommand, str], Execution | None] = claim
    committer: Callable[..., LossyCommitter] = LossyCommitter
    recorder: Callable[..., AttemptRecorder] = AttemptRecorder
    dispatcher: Callable[..., Dispatcher] = Dispatcher
    sweeper: Callable[..., Sweeper] = Sweeper
    beat: Callable[..., list[leases.Beat]] = leases.beat
    executions: Callable[..., Executions] = Executions
    acknowledges_first: bool = False


class Interrupted:
    """A log during whose reading something else happens: between the decision's basis and its append."""

    def __init__(self, log: Log, between: BETWEEN | None) -> None:
        self._log = log
        self._between = between

    def find(self, kind: Any, id: UUID) -> Any:
        """Load, then let the others go on, once."""
        found = self._log.find(kind, id)
        between, self._between = self._between, None
        if between is not None:
            between()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class Died(BaseException):
    """The process ended here."""


class World:
    """Everything, with an action for whatever may happen. Each action ends with a look at the promises."""

    def __init__(self, database: Database, parts: Parts | None = None) -> None:
        self.parts = parts or Parts()
        self.database = database
        self._loop = asyncio.new_event_loop()
        self._connection = database.connect()
        self._empty()
        self.queue = MemoryQueue()
        payloads = MemoryPayloads()
        self.workers = [Worker(database, payloads, self.parts.committer) for _ in range(WORKERS)]
        self._server = Worker(database, payloads, self.parts.committer)
        self.log: Log = self._server.log
        self.executions = self.parts.executions(self.log, payloads)
        self.ids: list[UUID] = []
        self.wishes: list[tuple[bool, bool, str]] = []
        self.line: list[UUID] = []
        """Those that wait for the lock, in the order of their requests."""
        self.histories: dict[UUID, list[Event]] = {}
        self.states: dict[UUID, Execution] = {}
        self.owners: dict[UUID, Session | None] = {}
        self._seen = 0
        self._changed: set[UUID] = set()
        self._lost: list[leases.Lost] = []
        self._dispatcher = self.parts.dispatcher(self.log, self.queue)
        self.restart_projector()
        self._sweeper().restore_queue()

    def close(self) -> None:
        """Close what this example opened; the database is used again."""
        for worker in [*self.workers, self._server]:
            worker.log.close()
        self._connection.close()
        self._loop.close()

    def _empty(self) -> None:
        tables = [f"executions.{table}" for table in EMPTIED]
        tables += [table for projection in for_log("executions") for table in projection.tables]
        self._connection.execute("; ".join(f"DELETE FROM {table}" for table in tables).encode())

    # What clients do ----------------------------------------------------------------------------------------------

    def submit(self, *, fails_when_lost: bool = False, lock: bool = False, priority: str = "normal") -> int:
        """Accept a run; its number."""
        number = len(self.ids)
        self.wishes.append((fails_when_lost, lock, priority))
        id = self._request(number)
        self.ids.append(id)
        self.look()
        return number

    def submit_again(self, number: int) -> None:
        """The client heard nothing and sends the same request again."""
        assert self._request(number) == self.ids[number], "the same request is another execution"
        self.look()

    def _request(self, number: int) -> UUID:
        fails, lock, priority = self.wishes[number]
        text = FLOW.format(lock=LOCK if lock else "", priority=priority, lost="fail" if fails else "restart")
        definition, _ = read_flow(text, file="f.yaml", actions=small_actions(Calls([])))
        digest = f"{number} {fails}"
        wanted = RunRequest("w", definition, text, idempotency_key=f"run {number}", digest=digest)
        return self.executions.request(BY, wanted)[0]

    def cancel(self, number: int) -> None:
        """Somebody wants it to stop."""
        with suppress(ExecutionFinished):
            self.executions.cancel(BY, "w", self.ids[number])
        self.look()

    # What workers do ----------------------------------------------------------------------------------------------

    def deliver(self, worker: int, entry: int = 0, between: BETWEEN | None = None, *, dies: bool = False) -> Session | None:
        """The queue gives an entry to a worker, which claims it and acknowledges it, unless it dies between the two."""
        delivery = self.queue.take(entry)
        return self._handle(worker, delivery, between, dies) if delivery is not None else None

    def deliver_again(self, worker: int, entry: int = 0, between: BETWEEN | None = None) -> Session | None:
        """An entry comes a second time, acknowledged or not."""
        if not self.queue.delivered:
            return None
        return self._handle(worker, self.queue.delivered[entry % len(self.queue.delivered)], between, False)

    def stray(self, worker: int, number: int) -> Session | None:
        """A worker gets a command for a first attempt that nobody should have sent yet."""
        delivery = Delivery("stray", RunCommand(self.ids[number], 1))
        return self._handle(worker, delivery, None, False)

    def adopt(self, worker: int) -> bool:
        """Take over the oldest entry that somebody took and never claimed; whether there was one."""
        delivery = self.queue.adopt()
        if delivery is not None:
            self._handle(worker, delivery, None, False)
        return delivery is not None

    def _handle(self, number: int, delivery: Any, between: BETWEEN | None, dies: bool) -> Session | None:
        worker, command = self.workers[number], delivery.command
        if worker.frozen:
            return None
        if self.parts.acknowledges_first:
            self.queue.done(delivery)
        if dies and self.parts.acknowledges_first:
            return self.crash(number)
        log: Any = Interrupted(worker.log, between)
        try:
            execution = self.parts.claim(log, command, worker.incarnation)
        except UnknownExecution:
            self.queue.bury(delivery)
            return None
        session = None
        if execution is not None:
            session = worker.begin(execution, command.number if command.kind == "teardown" else 0, self.parts.recorder)
            self._read()
            self.owners[execution.id] = session
        if dies:
            return self.crash(number)
        self.queue.done(delivery)
        self.look()
        return session

    def advance(self, worker: int, session: int = 0, records: int = 1) -> None:
        """A session appends its next records."""
        held = self.workers[worker].sessions
        if not held or self.workers[worker].frozen:
            return
        one = held[session % len(held)]
        for _ in range(records):
            self._act(one, one.advance())
            if one.over:
                held.remove(one)
                break

    def drain(self, worker: int) -> None:
        """SIGTERM: everything is given back."""
        for session in [] if self.workers[worker].frozen else list(self.workers[worker].sessions):
            self._act(session, session.give_back())
            if session.over:
                self.workers[worker].sessions.remove(session)

    def _act(self, session: Session, coroutine: Any) -> None:
        """Only the present owner may write, and it is never told that it is not the owner."""
        self.look()
        owner, before = self.owners.get(session.id), len(self.histories[session.id])
        self._loop.run_until_complete(coroutine)
        self._read()
        if len(self.histories[session.id]) > before:
            assert owner is session, f"{self.histories[session.id][-1][1]} by a session that was replaced"
        assert not (session.fenced and owner is session), "the owner was fenced"
        self.look()

    def beat(self, worker: int) -> None:
        """The heartbeat of a worker."""
        one = self.workers[worker]
        if one.frozen:
            return
        answers = {beat.execution: beat for beat in self.parts.beat(self._connection, one.incarnation, one.held())}
        for session in list(one.sessions):
            if session.id not in answers:
                one.sessions.remove(session)
            elif answers[session.id].cancel_requested:
                session.cancel()
        self.look()

    def crash(self, worker: int) -> None:
        """SIGKILL."""
        self.workers[worker].restart()
        self.look()

    def drop(self, worker: int, session: int = 0) -> None:
        """A worker that lives loses its hold of an execution, as after a claim whose answer it never got."""
        held = self.workers[worker].sessions
        if held and not self.workers[worker].frozen:
            held.pop(session % len(held))

    def lose_acknowledgement(self, worker: int) -> None:
        """The next commit of a worker happens, and it is not told."""
        self.workers[worker].committer.drop = 1

    # What the rest of the system does -----------------------------------------------------------------------------

    def dispatch(self) -> int:
        """A step of the dispatcher."""
        return self._dispatcher.step()

    def die_dispatching(self) -> None:
        """The dispatcher dies after it has sent and before it has noted that, and another begins."""
        parts = self.parts

        class Dying(parts.dispatcher):  # type: ignore[name-defined,misc]
            def _advance(self, old: int, new: int) -> bool:
                raise Died

        with suppress(Died):
            Dying(self.log, self.queue).step()
        self._dispatcher = parts.dispatcher(self.log, self.queue)
        self.look()

    def sweep(self) -> None:
        """A round over the leases."""
        self._sweeper().sweep_leases()
        self.look()

    def sweep_half(self) -> None:
        """A second sweeper has looked and stands still before it acts."""
        self._lost += sorted(leases.lost(self._connection), key=lambda lost: lost.execution)

    @property
    def half_swept(self) -> bool:
        """Whether a second sweeper has something to act on."""
        return bool(self._lost)

    def sweep_late(self, between: BETWEEN | None = None) -> None:
        """It acts on what it saw then."""
        if self._lost:
            self._sweeper(between)._abandon(self._lost.pop(0))
        self.look()

    def time_out(self, number: int, between: BETWEEN | None = None) -> None:
        """The sweeper finds that one has waited too long, as far as its read model says."""
        for row in ExecutionList(self.database.pool).waiting():
            if row.id == self.ids[number]:
                self._sweeper(between)._time_out(row._replace(queue_timeout=1.0), 2.0)
        self.look()

    def call(self) -> None:
        """A look at the groups."""
        self._sweeper().call()
        self.look()

    def restore(self, between: BETWEEN | None = None) -> None:
        """A look at the queue's epoch."""
        self._sweeper(late=between).restore_queue()
        self.look()

    def _sweeper(self, between: BETWEEN | None = None, late: BETWEEN | None = None) -> Sweeper:
        pool = self.database.pool

        def caught_up(head: int) -> bool:
            if late is not None:
                late()
            return position(pool, "executions", "execution_list") >= head

        log: Any = Interrupted(self.log, between)
        return self.parts.sweeper(log, self.queue, ExecutionList(pool).waiting, caught_up)

    def wipe(self) -> None:
        """Redis forgets everything."""
        self.queue.wipe()

    def project(self) -> None:
        """A batch of the projector."""
        self._projector.step()

    def restart_projector(self) -> None:
        """Another projector takes over."""
        self._projector = Projector(
            self.database.pool, self.database.connect, "executions", for_log("executions"), self.log.read
        )

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self._connection.execute("UPDATE fake.clock SET at = at + make_interval(secs => %s)", (seconds,))

    # What must hold -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """The promises, after each action."""
        self._read()
        changed, self._changed = self._changed, set()
        for id in changed:
            wrong = broken_so_far(self.histories[id])
            assert not wrong, f"{wrong}: {[name for _, name, _ in self.histories[id]]}"
        self._leases_are_held()
        self._the_lock_is_held_once()
        self._commands_are_on_their_way()

    def _read(self) -> None:
        changed = set()
        for recorded in self.log.read(self._seen, 1000):
            event, self._seen = recorded.event, recorded.position
            name = recorded.topic.removeprefix("execution.")
            self.histories.setdefault(event.originator_id, []).append((event.originator_version, name, vars(event)))
            if name in ("attempt_abandoned", "finished"):
                self.owners[event.originator_id] = None
            self._in_line(name, event)
            changed.add(event.originator_id)
        for id in changed:
            self.states[id] = self.log.load(Execution, id)
        self._changed |= changed

    def _in_line(self, name: str, event: Any) -> None:
        """First come, first served among equals."""
        id = event.originator_id
        if name == "requested" and event.groups:
            self.line.append(id)
        elif name == "attempt_started" and id in self.line:
            rank = self.wishes[self.ids.index(id)][2] if id in self.ids else "normal"
            equals = [one for one in self.line if one not in self.ids or self.wishes[self.ids.index(one)][2] == rank]
            assert equals[0] == id, "it was not its turn"
            self.line.remove(id)
        elif name == "finished" and id in self.line:
            self.line.remove(id)

    def _the_lock_is_held_once(self) -> None:
        """The events and the table say the same of holders, and there is one at most."""
        open_ones = [(id, state) for id, state in self.states.items() if state.request.groups and state.status != "finished"]
        holders = {id for id, state in open_ones if state.started}
        assert len(holders) <= 1, f"{len(holders)} hold a lock"
        rows = dict(self._connection.execute("SELECT execution, held_since IS NOT NULL FROM executions.group_places"))
        assert rows == {id: id in holders for id, _ in open_ones}, "the places are not what the events say"

    def _leases_are_held(self) -> None:
        """Whatever runs has a lease: without one nobody would notice the death of its worker."""
        rows = self._connection.execute("SELECT execution, worker FROM executions.leases").fetchall()
        leased = dict(rows)
        for id, state in self.states.items():
            if state.status in ("running", "tearing_down"):
                assert leased.get(id) == state.worker, f"{state.status} without a lease"

    def _commands_are_on_their_way(self) -> None:
        """Whatever waits will be sent or has been sent: nothing depends on the slow net for entries that vanish one by one."""
        if self.queue.epoch() is None:
            return
        sent = position(self.database.pool, "executions", "dispatcher")
        for id, state in self.states.items():
            if state.status not in ("queued", "owes_teardown"):
                continue
            teardown = state.status == "owes_teardown"
            command = RunCommand(
                id, state.attempt, "teardown" if teardown else "attempt", state.teardowns + 1 if teardown else 0
            )
            if self._waits_for_its_place(id, state):
                continue
            if not self.queue.holds(command):
                assert self._position_of_wish(id) > sent, f"{command.kind} {state.attempt} is wanted, and nobody will be told"

    def _waits_for_its_place(self, id: UUID, state: Execution) -> bool:
        """Whether others hold its lock or come first; or it is to be called, which dispatcher and sweeper see by the table."""
        if not state.request.groups or state.started:
            return False
        row = self._connection.execute(
            "SELECT executions.group_room(%s) AND bool_and(called) FROM executions.group_places WHERE execution = %s", (id, id)
        ).fetchone()
        return row is not None and not row[0]

    def _position_of_wish(self, id: UUID) -> int:
        wished = [v for v, name, _ in self.histories[id] if name in ("requested", "requeued", "attempt_abandoned")]
        return self.log.position_of(id, wished[-1])

    def settle(self) -> None:
        """Without further faults everything comes to its end, and the read models are what a rebuild gives."""
        for worker in self.workers:
            worker.frozen, worker.committer.drop = False, 0
        for _ in range(32):
            self._round()
            if all(state.status == "finished" for state in self.states.values()):
                break
        open_ones = [f"{state.status}({state.attempt})" for state in self.states.values() if state.status != "finished"]
        assert not open_ones, f"these never end: {open_ones}"
        wrong = broken_promises(self.histories, self.ids)
        assert not wrong, str(wrong)
        self._nothing_is_left()
        self._read_models_equal_a_rebuild()

    def _round(self) -> None:
        while self.dispatch():
            pass
        self._projector.catch_up()
        self.restore()
        self._sweeper().call()
        for number, worker in enumerate(self.workers):
            self.beat(number)
            while self.queue.unread:
                self.deliver(number)
            while self.adopt(number):
                pass
            while worker.sessions:
                self.advance(number, records=len(worker.sessions[0]._script))
        self.tick(leases.LEASE_SECONDS + 1)
        for number in range(WORKERS):
            self.beat(number)
        self.sweep()
        self.sweep()

    def _nothing_is_left(self) -> None:
        self.sweep()
        row = self._connection.execute("SELECT count(*) FROM executions.leases").fetchone()
        assert row == (0,), "leases are left"
        assert not group_places.in_use(self._connection), "places are left"
        assert not self.queue.pending, "entries are left"

    def _read_models_equal_a_rebuild(self) -> None:
        self._projector.catch_up()
        for projection in for_log("executions"):
            before = checksum(self.database.pool, projection)
            rebuild(self.database.pool, projection, self.log.read)
            assert checksum(self.database.pool, projection) == before, f"{projection.name} is not what a rebuild gives"


def prepare(url: str, statements: Sequence[str]) -> None:
    """The tables of logs and read models, and a clock of ours before PostgreSQL's own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        connection.execute(CLOCK.encode())
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET search_path = fake, public, pg_catalog".encode())
