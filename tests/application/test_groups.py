"""Concurrency groups over a real log: never more holders than places, in order, across workers, whatever is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from application import group_places, leases
from application.calling import call_waiting
from application.claims import claim
from application.database import Database
from application.dispatch import Dispatcher
from application.event_store import PostgresLog
from application.executions import Executions, RunRequest
from application.flow_documents import read_flow
from application.log import Log
from application.payloads import MemoryPayloads
from application.ports import RunCommand
from application.queueing import QueueRules, Wish
from application.sweeper import Sweeper
from application.waiting import reasons
from domain.events import Actor
from domain.execution import Execution
from domain.queueing import FIRST, Group
from projections.execution_list import Waiting
from tests.support.local import BY, Calls, flow, small_actions
from tests.support.memory_queue import MemoryQueue

pytestmark = pytest.mark.servers
STEP = "- {id: one, action: say, config: {message: hello}}"


class Room:
    """A log, a queue and a dispatcher; workers are names."""

    def __init__(self, url: str, rules: QueueRules | None = None) -> None:
        self.database = Database(url, size=10)
        self.log: Log = PostgresLog("executions", self.database)
        self.queue = MemoryQueue()
        self.executions = Executions(self.log, MemoryPayloads(), rules)
        self.dispatcher = Dispatcher(self.log, self.queue)
        self.flows = small_actions(Calls([]))

    def request(self, workspace: str = "w", wish: Wish | None = None, **more: str) -> UUID:
        """Accept a run of a flow with these keys."""
        text = flow(STEP, **more)
        definition, _ = read_flow(text, file="f.yaml", actions=self.flows)
        return self.executions.request(BY, RunRequest(workspace, definition, text, wish=wish or Wish()))[0]

    def lock(self, *names: str, **options: str) -> UUID:
        """Accept a run of a flow with locks."""
        return self.request(lock=f"[{', '.join(names)}]", **options)

    def load(self, id: UUID) -> Execution:
        """As it is recorded."""
        return self.log.load(Execution, id)

    def take(self, id: UUID, worker: str = "a") -> bool:
        """A worker comes for its first attempt; whether it got it."""
        return claim(self.log, RunCommand(id, 1), worker) is not None

    def end(self, id: UUID) -> None:
        """The attempt passes."""
        execution = self.load(id)
        execution.finish(BY, execution.attempt, execution.worker, "passed")
        self.log.put(execution)

    def called(self) -> list[UUID]:
        """What the dispatcher sends now."""
        return [command.execution for command in self.sent()]

    def sent(self) -> list[RunCommand]:
        """The commands that the dispatcher sends now, and those that stand in the queue since before."""
        while self.dispatcher.step():
            pass
        found = list(self.queue.unread.values())
        self.queue.unread.clear()
        return found

    def sweeper(self, *rows: Waiting, in_groups: list[UUID] | None = None) -> Sweeper:
        """A sweeper whose read model has these rows."""
        return Sweeper(self.log, self.queue, lambda: rows, lambda head: True, in_groups=lambda: in_groups or [])

    def row(self, id: UUID) -> Waiting:
        """The execution as the read model would have it."""
        execution = self.load(id)
        request = execution.request
        kind, number = ("attempt", 0) if execution.status == "queued" else ("teardown", execution.teardowns + 1)
        return Waiting(
            id,
            execution.attempt,
            kind,
            number,
            request.priority,
            tuple(request.runs_on),
            tuple(request.groups),
            request.queue_timeout,
        )

    def close(self) -> None:
        """Close everything."""
        self.log.close()
        self.database.close()


@pytest.fixture
def room(database_url: str) -> Iterator[Room]:
    made = Room(database_url)
    yield made
    made.close()


def test_of_those_that_name_a_lock_one_runs_at_a_time_first_come_first_served(room: Room) -> None:
    first, second, third = (room.lock("db") for _ in range(3))
    assert room.called() == [first], "a waiting one is not sent, so it takes no worker's place"
    assert room.take(first)
    assert not room.take(second)
    assert not room.take(third)
    room.end(first)
    assert room.called() == [second]
    assert not room.take(third), "it is not its turn"
    assert room.take(second)
    room.end(second)
    assert room.called() == [third]
    assert room.take(third)


def test_a_group_has_as_many_places_as_it_says(room: Room) -> None:
    ids = [room.request(config="concurrency: {group: g, max: 3}") for _ in range(5)]
    assert room.called() == ids[:3]
    assert [room.take(id) for id in ids] == [True, True, True, False, False]
    room.end(ids[1])
    assert room.called() == [ids[3]]


def test_the_smallest_bound_among_those_that_run_counts(room: Room) -> None:
    wide = [room.request(config="concurrency: {group: g, max: 2}") for _ in range(2)]
    narrow = room.request(config="concurrency: g")
    assert room.take(wide[0])
    assert not room.take(narrow), "it would not be alone"
    assert room.take(wide[1])
    for id in wide:
        room.end(id)
    assert room.take(narrow)
    later = room.request(config="concurrency: {group: g, max: 2}")
    assert not room.take(later), "the one that runs wants to be alone"


def test_names_belong_to_a_workspace(room: Room) -> None:
    ours, theirs = room.lock("db"), room.request("v", lock="db")
    assert room.take(ours)
    assert room.take(theirs)


def test_all_locks_are_taken_together_and_nobody_overtakes_one_that_waits_for_two(room: Room) -> None:
    a, both, b, free = room.lock("a"), room.lock("a", "b"), room.lock("b"), room.lock("c")
    assert room.called() == [a, free]
    assert room.take(a)
    assert not room.take(both)
    assert not room.take(b)
    assert room.take(free)
    room.end(a)
    assert room.called() == [both]
    assert room.take(both)
    room.end(both)
    assert room.called() == [b]


@pytest.mark.parametrize("most", [1, 3])
def test_workers_that_come_at_the_same_moment_get_no_more_places_than_there_are(room: Room, most: int) -> None:
    for _ in range(5):
        name = uuid4().hex
        ids = [room.request(config=f"concurrency: {{group: {name}, max: {most}}}") for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            took = list(threads.map(room.take, ids, [f"worker {n}" for n in range(8)]))
        assert took == [True] * most + [False] * (8 - most)


def test_a_lost_worker_leaves_the_place_taken_until_its_teardown_is_done(room: Room) -> None:
    first, second = room.lock("db", config="on_worker_lost: fail"), room.lock("db")
    assert room.take(first)
    execution = room.load(first)
    execution.start_step(BY, 1, "a", path="one", phase="steps", number=1, name="one", action="say")
    execution.abandon(Actor("sweeper"), 1, "worker_lost")
    room.log.put(execution)
    room.called()
    assert not room.take(second), "the teardown of the first is still to come"
    torn = claim(room.log, RunCommand(first, 1, "teardown", 1), "b")
    assert torn is not None
    assert not room.take(second)
    torn.finish_teardown(BY, 1, "b", 1, "passed")
    room.log.put(torn)
    assert torn.status == "finished"
    assert room.called() == [second]
    assert room.take(second)


def test_a_place_is_kept_between_two_attempts(room: Room) -> None:
    first, second = room.lock("db"), room.lock("db")
    assert room.take(first)
    execution = room.load(first)
    execution.abandon(Actor("sweeper"), 1, "worker_lost")
    room.log.put(execution)
    assert execution.status == "queued"
    assert not room.take(second)
    assert claim(room.log, RunCommand(first, 2), "b") is not None


def test_who_is_waited_for_goes_first_and_the_last_one_waits_in_line(room: Room) -> None:
    first, second, third = (room.lock("db") for _ in range(3))
    beside = room.request()
    sent = []
    for id in (first, second, third):
        sent += [(command.execution, command.priority) for command in room.sent()]
        assert room.take(id)
        room.end(id)
    assert sorted(sent[:2]) == sorted([(first, FIRST), (beside, 0)])
    assert sent[2:] == [(second, FIRST), (third, 0)]


@pytest.mark.parametrize(("waiting", "priority"), [(1, FIRST), (0, -1)])
def test_what_follows_a_lost_attempt_of_one_that_is_waited_for_goes_first(room: Room, waiting: int, priority: int) -> None:
    holder = room.lock("db", config="priority: low")
    assert [command.priority for command in room.sent()] == [-1]
    assert room.take(holder)
    for _ in range(waiting):
        room.lock("db", config="priority: low")
    execution = room.load(holder)
    execution.start_step(BY, 1, "a", path="one", phase="steps", number=1, name="one", action="say")
    execution.abandon(Actor("sweeper"), 1, "worker_lost")
    room.log.put(execution)
    lost = room.row(holder)
    (teardown,) = room.sent()
    assert (teardown.kind, teardown.priority) == ("teardown", priority)
    room.sweeper(lost).restore_queue()
    assert room.sent() == [teardown], "after a loss of the queue as well"
    torn = claim(room.log, RunCommand(holder, 1, "teardown", 1), "b")
    assert torn is not None
    torn.finish_teardown(BY, 1, "b", 1, "passed")
    room.log.put(torn)
    (again,) = room.sent()
    assert (again.kind, again.attempt, again.priority) == ("attempt", 2, priority)


def test_what_is_cancelled_while_it_waits_or_runs_gives_its_turn_up(room: Room) -> None:
    first, second, third = (room.lock("db") for _ in range(3))
    assert room.called() == [first]
    assert room.take(first)
    room.executions.cancel(BY, "w", second)
    room.end(first)
    assert room.called() == [third]


def test_skip_ends_at_once_what_finds_its_group_full(room: Room) -> None:
    flow_config = "concurrency: {group: g, when_full: skip}"
    first, second = room.request(config=flow_config), room.request(config=flow_config)
    skipped = room.load(second)
    assert (skipped.verdict, skipped.status) == ("cancelled", "finished")
    end = room.log.read(0, 9, (Execution.Finished.TOPIC,))[0].event
    assert (end.originator_id, end.cause) == (second, "group_full")
    assert "group g is full" in end.message
    assert room.take(first)
    room.end(first)
    assert room.take(room.request(config=flow_config))


def test_cancel_older_cancels_what_waits_and_asks_what_runs_to_stop(room: Room) -> None:
    flow_config = "concurrency: {group: g, when_full: cancel_older}"
    runs, waits, newest = (room.request(config=flow_config) for _ in range(3))
    assert room.take(runs)
    room.called()
    assert room.load(waits).verdict == "cancelled"
    assert room.load(runs).cancel_requested
    assert room.load(runs).status == "running"
    assert not room.take(newest), "the older one still tears down"
    room.end(runs)
    assert room.called() == [newest]


@pytest.mark.parametrize(
    ("bounds", "stays"), [((1, 3), ""), ((3, 3, 3), "01"), ((3, 1, 3), "0"), ((2, 3, 3), "1"), ((3, 3, 2), "1")]
)
def test_cancel_older_leaves_those_for_which_the_smallest_bound_has_room(
    room: Room, bounds: tuple[int, ...], stays: str
) -> None:
    def wanted(most: int) -> UUID:
        return room.request(config=f"concurrency: {{group: g, max: {most}}}")

    older = [wanted(most) for most in bounds[:-1]]
    newest = room.request(config=f"concurrency: {{group: g, max: {bounds[-1]}, when_full: cancel_older}}")
    called = room.called()
    assert [id for id in older if room.load(id).verdict != "cancelled"] == [older[int(n)] for n in stays]
    assert newest in called, "there is a place for it now"
    for id in [*(older[int(n)] for n in stays), newest]:
        assert room.take(id)


def test_what_an_execution_waits_for_is_said_by_the_smallest_bound(room: Room) -> None:
    strict = room.lock("db")
    assert room.take(strict)
    easy = room.request(config="concurrency: {group: db, max: 20}")
    with room.database.pool.connection() as connection:
        assert reasons(connection, easy, ())[0] == f"the group db (max 1) is held by {strict}"
        room.end(strict)
        assert "group" not in reasons(connection, easy, ())[0]
        many = [room.request(config="concurrency: {group: many, max: 20}") for _ in range(21)]
        assert all(room.take(id) for id in many[:20])
        assert "(max 20) is held by" in (said := reasons(connection, many[20], ())[0])
        assert said.endswith("17 more")


def test_a_higher_priority_comes_first_but_overtakes_nobody_that_has_waited_long(room: Room) -> None:
    holder, normal = room.lock("db"), room.lock("db")
    assert room.take(holder)
    high = room.request(lock="db", config="priority: high")
    low = room.request(lock="db", config="priority: low")
    room.end(holder)
    assert room.called() == [high]
    assert not room.take(normal)
    assert room.take(high)
    with room.database.pool.connection() as connection:
        age = "UPDATE executions.group_places SET turn = turn - interval '25 minutes' WHERE execution = %s"
        connection.execute(age, (low,))
    room.end(high)
    assert room.called() == [low]


def test_those_that_run_elsewhere_are_not_held_up_by_one_that_no_worker_can_take(room: Room) -> None:
    special = room.request(lock="db", config="runs_on: gpu")
    other = room.lock("db")
    assert room.called() == [special, other]
    assert room.take(other), "whichever worker comes first"
    assert not room.take(special)


def test_one_that_is_refused_is_called_again_whoever_dies_meanwhile(room: Room) -> None:
    first, second = room.lock("db"), room.request(lock="db", config="runs_on: gpu")
    assert room.called() == [first, second]
    assert room.take(first)
    assert not room.take(second)
    room.end(first)
    room.dispatcher = Dispatcher(room.log, room.queue)
    assert room.called() == [second]
    assert call_waiting(room.log, room.queue) == 0, "it was called"


def test_a_dispatcher_that_dies_after_sending_sends_again(room: Room) -> None:
    id = room.lock("db")

    class Dying(MemoryQueue):
        def send(self, commands: list[RunCommand]) -> None:
            super().send(commands)
            raise SystemExit

    dying = Dying()
    with pytest.raises(SystemExit):
        Dispatcher(room.log, dying).step()
    assert [command.execution for command in dying.unread.values()] == [id] == room.called()


def test_the_sweeper_calls_what_the_dispatcher_missed_and_fills_an_emptied_queue_with_what_may_run(room: Room) -> None:
    first, second = room.lock("db"), room.lock("db")
    assert room.sweeper().call() == 1
    assert room.take(first)
    sweeper = room.sweeper(room.row(second), Waiting(uuid4(), 1, "attempt", 0))
    assert sweeper.restore_queue() == 1, "the second has to wait for its place"
    room.end(first)
    room.queue.wipe()
    assert sweeper.restore_queue() == 2


def wait(room: Room, seconds: float) -> None:
    """The sweeper saw them waiting so long ago."""
    with room.database.pool.connection() as connection:
        connection.execute("UPDATE executions.resent SET first = first - make_interval(secs => %s)", (seconds,))


def test_one_that_waits_too_long_for_its_place_ends_as_timed_out_with_the_holder_named(room: Room) -> None:
    first = room.lock("db")
    second = room.request(config="concurrency: {group: db, timeout: 10m}")
    assert room.take(first)
    room.sweeper(room.row(second)).tend()
    wait(room, 599)
    room.sweeper(room.row(second)).tend()
    assert room.load(second).status == "queued"
    wait(room, 2)
    room.sweeper(room.row(second)).tend()
    end = room.log.read(0, 99, (Execution.Finished.TOPIC,))[0].event
    assert (end.originator_id, end.verdict, end.cause) == (second, "timed_out", "group_timeout")
    assert f"the group db (max 1) is held by {first}" in end.message


def test_a_worker_that_is_faster_than_the_time_out_wins_and_is_not_disturbed(room: Room) -> None:
    id = room.request(config="queue_timeout: 1m")
    row = room.row(id)
    room.sweeper(row).tend()
    wait(room, 61)
    assert room.take(id)
    room.sweeper(row).tend()
    assert room.load(id).status == "running"


def test_one_that_no_worker_takes_ends_by_its_queue_timeout_and_says_why(room: Room) -> None:
    id = room.request(config="{runs_on: gpu, queue_timeout: 1m}")
    room.sweeper(room.row(id)).tend()
    wait(room, 61)
    room.sweeper(room.row(id)).tend()
    end = room.log.read(0, 99, (Execution.Finished.TOPIC,))[0].event
    assert (end.verdict, end.cause) == ("timed_out", "queue_timeout")
    assert "no worker is running" in end.message


def test_a_teardown_that_no_worker_takes_is_given_up_by_the_queue_timeout(room: Room) -> None:
    id = room.request(config="{queue_timeout: 1m, on_worker_lost: fail}", lock="db")
    assert room.take(id)
    execution = room.load(id)
    execution.start_step(BY, 1, "a", path="one", phase="steps", number=1, name="one", action="say")
    execution.abandon(Actor("sweeper"), 1, "worker_lost")
    room.log.put(execution, side=[leases.release(id, "a")])
    room.sweeper(room.row(id)).tend()
    wait(room, 61)
    room.sweeper(room.row(id)).tend()
    assert (room.load(id).status, room.load(id).verdict) == ("finished", "error")
    assert room.take(room.lock("db")), "its place is free"


def test_a_quota_of_the_workspace_is_a_group_of_all_its_executions(database_url: str) -> None:
    room = Room(database_url, QueueRules(workspace_concurrency=2))
    try:
        ours, theirs = [room.request() for _ in range(4)], room.request("v")
        sent = room.sent()
        assert [command.execution for command in sent] == [*ours[:2], theirs]
        assert [command.priority for command in sent] == [0] * 3, "a quota lets nobody overtake others"
        assert [room.take(id) for id in ours] == [True, True, False, False]
        assert room.take(theirs)
    finally:
        room.close()


def test_places_that_a_restored_backup_does_not_have_are_made_again_from_the_events(room: Room) -> None:
    runs, waits = room.lock("db"), room.lock("db")
    assert room.take(runs)
    with room.database.pool.connection() as connection:
        connection.execute("DELETE FROM executions.group_places")
    assert not room.take(waits), "without its row nothing begins"
    assert room.sweeper(in_groups=[runs, waits]).mend_groups() == 2
    assert not room.take(waits)
    room.end(runs)
    assert room.called() == [waits]
    assert room.take(waits)


class EmptiedQueue(MemoryQueue):
    """A queue that loses its data just after something was sent, before the sender can note that it was."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room
        self.emptied = False

    def send(self, commands: list[RunCommand]) -> None:
        """As usual; then it is empty, and a sweeper sees to it, from a read model in which the call does not stand."""
        super().send(commands)
        if not self.emptied:
            self.emptied = True
            self.unread.clear()
            assert self._room.sweeper().restore_queue() == 0


def test_a_call_that_the_queue_loses_before_it_is_noted_is_made_again(room: Room) -> None:
    id = room.lock("db")
    room.queue = EmptiedQueue(room)
    room.dispatcher = Dispatcher(room.log, room.queue)
    assert room.called() == []
    assert room.sweeper().call() == 1, "the next round of the sweeper calls it again"
    assert room.sweeper().call() == 0, "once"
    assert [command.execution for command in room.queue.unread.values()] == [id]


def test_holders_and_waiting_ones_can_be_seen(room: Room) -> None:
    runs, waits = room.lock("db"), room.lock("db")
    room.request("v", lock="db")
    assert room.take(runs)
    with room.database.pool.connection() as connection:
        found = group_places.places(connection, "w", "db")
        held, waiting, _ = group_places.totals(connection)
    assert [(place.execution, place.held_since is not None, place.ahead) for place in found] == [
        (runs, True, 0),
        (waits, False, 0),
    ]
    assert (held, waiting) == (1, 2)


def test_the_group_of_a_request_comes_on_top_of_the_flows(room: Room) -> None:
    id = room.request(wish=Wish(group=Group("tenant", 2), priority="high", runs_on=("gpu",), queue_timeout=5.0), lock="db")
    request = room.load(id).request
    assert [group["name"] for group in request.groups] == ["tenant", "db"]
    assert (request.priority, request.runs_on, request.queue_timeout) == (1, ["gpu"], 5.0)
