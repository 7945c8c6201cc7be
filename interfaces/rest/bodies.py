"""What requests carry."""

from __future__ import annotations

from typing import Any

from application.bundles import MOST_CHARS
from domain.api_key import SCOPES
from domain.limits import LIMITS
from domain.queueing import MOST_LABELS, MOST_PLACES, PRIORITIES, WHEN_FULL
from domain.queueing import NAME_CHARS as NAME_CHARS_OF_GROUP
from domain.schedule import KINDS, MISSED, NAME_CHARS, OVERLAPS
from domain.suite_run import ORDER, STATUSES
from domain.values import dataclass
from domain.workspace import ROLES
from interfaces.rest.shapes import value

TAG_CHARS = 255
VERDICTS = tuple(ORDER)


@dataclass(frozen=True, slots=True)
class NoQuery:
    """Reads may wait for a position that a command answered with (X-Event-Position)."""

    min_position: str | None = value(None, about="Answer only when the read models have reached it: executions:1842", most=40)


@dataclass(frozen=True, slots=True)
class PageQuery(NoQuery):
    """A page of a list."""

    cursor: str | None = value(None, about="next_cursor of the page before", most=2000)
    limit: int = value(50, least=1, most=LIMITS.page)


@dataclass(frozen=True, slots=True)
class FlowsQuery(PageQuery):
    """Which flows."""

    project: str | None = value(None, most=255)
    tag: str | None = value(None, most=255)
    suite: str | None = value(None, most=255)
    text: str | None = value(None, about="Part of the name, path or description", most=255)
    called: str | None = value(None, about="Exactly this id, key, path or name", most=1000)
    archived: bool = value(False)


@dataclass(frozen=True, slots=True)
class ExecutionsQuery(PageQuery):
    """Which executions."""

    status: str | None = value(None, choices=("queued", "running", "owes_teardown", "tearing_down", "finished"))
    verdict: str | None = value(None, choices=("passed", "passed_on_retry", "failed", "error", "cancelled", "timed_out"))
    flow: str | None = value(None, most=64)
    tag: str | None = value(None, most=255)
    trigger: str | None = value(None, most=64)


@dataclass(frozen=True, slots=True)
class KeysQuery(PageQuery):
    """Which keys."""

    revoked: bool | None = value(None)


@dataclass(frozen=True, slots=True)
class DeadLettersQuery(PageQuery):
    """Which dead letters."""

    decided: bool = value(False, about="Those that were decided instead of those that wait")


@dataclass(frozen=True, slots=True)
class SourceQuery(NoQuery):
    """Which revision."""

    revision: int | None = value(None, least=1, most=2**31 - 1)


@dataclass(frozen=True, slots=True)
class EventsQuery(NoQuery):
    """Where to go on reading."""

    after: str | None = value(None, about="position of the last event seen; none from the beginning", most=40)
    limit: int = value(200, least=1, most=500)


@dataclass(frozen=True, slots=True)
class Member:
    """A membership."""

    login: str = value(about="The user's login name", least=1, most=255)
    role: str = value(choices=ROLES)


@dataclass(frozen=True, slots=True)
class IssueKey:
    """A new key."""

    name: str = value(about="What it is for", least=1, most=255)
    scopes: list[str] = value(choices=SCOPES, most=len(SCOPES), least=1)
    days: int | None = value(None, about="How long it lives; 90 unless given", least=1, most=366)


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that flows name: its content as `text` or as `base64`, one of them."""

    path: str = value(about="Its path in the project, with forward slashes", least=1, most=MOST_CHARS)
    text: str | None = value(None, most=LIMITS.bundle_file_bytes)
    base64: str | None = value(None, most=LIMITS.bundle_file_bytes * 4 // 3 + 4)


@dataclass(frozen=True, slots=True)
class PushedDocument:
    """One flow file."""

    path: str = value(about="Its path in the project, with forward slashes", least=1, most=MOST_CHARS)
    text: str = value(most=LIMITS.document_bytes)
    files: list[str] = value(
        [],
        about="Paths of what it names, among `files` and `documents`; workers have these alone",
        most=LIMITS.bundle_files,
        each=MOST_CHARS,
    )


@dataclass(frozen=True, slots=True)
class Push:
    """Flow files of a project, and the files that they name."""

    documents: list[PushedDocument] = value(most=LIMITS.push_documents, least=1)
    files: list[SentFile] = value([], most=LIMITS.push_documents * 10)
    project: str = value("", most=255)
    prune: bool = value(False, about="Archive the project's flows that are not in this push")


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of a flow."""

    tags: list[str] = value(most=50, each=TAG_CHARS)


@dataclass(frozen=True, slots=True)
class GroupsQuery(NoQuery):
    """Which groups."""

    name: str | None = value(None, most=NAME_CHARS_OF_GROUP)
    limit: int = value(1000, about="Holders and waiting executions in all", least=1, most=1000)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """A concurrency group of the workspace, of which at most `max` executions run at a time."""

    group: str = value(least=1, most=NAME_CHARS_OF_GROUP)
    max: int = value(1, least=1, most=MOST_PLACES)
    when_full: str = value("queue", about="Wait, let older ones be cancelled, or end at once as cancelled", choices=WHEN_FULL)
    timeout: str | None = value(None, about="How long it may wait for its place: 10m", most=50)


@dataclass(frozen=True, slots=True)
class RequestExecution:
    """What to run: `flow` (its id) or `document` (a text)."""

    flow: str | None = value(None, most=64)
    revision: int | None = value(None, least=1, most=2**31 - 1)
    document: str | None = value(None, most=LIMITS.document_bytes)
    file: str | None = value(None, about="The document's file name, for messages", most=500)
    path: str | None = value(None, about="Where the document stands in its project, among `files`", least=1, most=MOST_CHARS)
    files: list[SentFile] = value([], about="What the document names; workers have these alone", most=LIMITS.bundle_files)
    variables: dict[str, Any] = value({}, about="Variables; they win over the flow's own", most=500)
    tags: list[str] = value([], most=50, each=TAG_CHARS)
    seed: str | None = value(None, about="Reproduce the random values of a run", least=1, most=64)
    case: str = value("", about="The key of the data row that the run is for", most=200)
    trigger: str = value("api", most=64)
    priority: str | None = value(
        None, about="Which of the waiting come first; the flow's unless given", choices=tuple(PRIORITIES)
    )
    runs_on: list[str] = value([], about="Labels that the worker must have, besides the flow's", most=MOST_LABELS, each=127)
    concurrency: Concurrency | None = value(None, about="A group besides those of the flow")
    queue_timeout: str | None = value(None, about="How long it may wait for a worker: 10m; 0s for any time", most=50)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why."""

    reason: str = value("", most=500)


@dataclass(frozen=True, slots=True)
class SchedulesQuery(PageQuery):
    """Which schedules."""

    flow: str | None = value(None, about="The id of a flow", most=64)
    paused: bool | None = value(None)
    called: str | None = value(None, about="Exactly this id or name", most=1000)


@dataclass(frozen=True, slots=True)
class DecisionsQuery(PageQuery):
    """Which decisions."""

    decision: str | None = value(None, choices=KINDS)


@dataclass(frozen=True, slots=True)
class NextQuery(NoQuery):
    """How many firings."""

    count: int = value(5, least=1, most=100)


@dataclass(frozen=True, slots=True)
class Selection:
    """What suite run a schedule starts: the flows that all of these mean at the tick, and how they are run."""

    project: str | None = value(None, most=255)
    folder: str | None = value(None, about="Flows below this folder, or the one with this path", most=MOST_CHARS)
    suite: str | None = value(None, most=255)
    tags: str | None = value(None, about="An expression over tags: smoke and not slow", most=1000)
    matrix: dict[str, Any] = value({}, about="Lists of values by variable; every combination is run", most=20)
    parallel: int | None = value(None, least=1, most=LIMITS.suite_parallel)
    fail_fast: bool = value(False)
    timeout: str | None = value(None, about="How long all of it may take, waiting included: 30m", most=50)


@dataclass(frozen=True, slots=True)
class CreateSchedule:
    """When a flow, or a selection of flows, runs by itself."""

    name: str = value(least=1, most=NAME_CHARS)
    cron: str = value(about="minute hour day month weekday, a second before them if wanted; or @daily and the like", most=200)
    flow: str = value("", about="The id of the flow; its newest revision runs", most=64)
    selection: Selection | None = value(None, about="Instead of `flow`: the flows of a suite run")
    time_zone: str = value("UTC", about="A name of the IANA database, such as Europe/Berlin", most=64)
    jitter: str = value("0s", about="Each tick is late by a part of this that it alone has: 30s", most=50)
    overlap: str = value("skip", about="What a tick does while the execution before it has not ended", choices=OVERLAPS)
    missed: str = value("skip", about="What becomes of ticks at which no scheduler was there", choices=MISSED)
    variables: dict[str, Any] = value({}, most=500)
    tags: list[str] = value([], most=50, each=TAG_CHARS)


@dataclass(frozen=True, slots=True)
class ChangeSchedule:
    """What is to be otherwise; fields that are left out stay as they are."""

    name: str | None = value(None, least=1, most=NAME_CHARS)
    flow: str | None = value(None, most=64)
    selection: Selection | None = value(None, about="In place of the flow or selection before")
    cron: str | None = value(None, most=200)
    time_zone: str | None = value(None, most=64)
    jitter: str | None = value(None, most=50)
    overlap: str | None = value(None, choices=OVERLAPS)
    missed: str | None = value(None, choices=MISSED)
    variables: dict[str, Any] | None = value(None, most=500)
    tags: list[str] | None = value(None, most=50, each=TAG_CHARS)


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a schedule stands still."""

    reason: str = value("", most=500)


@dataclass(frozen=True, slots=True)
class SuiteRunsQuery(PageQuery):
    """Which suite runs."""

    status: str | None = value(None, choices=("queued", "running", "finished"))
    verdict: str | None = value(None, choices=VERDICTS)
    name: str | None = value(None, most=255)
    root: str | None = value(None, about="Those of the chain of reruns that begins with this suite run", most=64)


@dataclass(frozen=True, slots=True)
class CasesQuery(PageQuery):
    """Which cases."""

    status: str | None = value(None, choices=STATUSES)
    verdict: str | None = value(None, choices=VERDICTS)
    merged: bool = value(False, about="The latest result of each case in the whole chain of reruns, by key")


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """A row of data: its key, which no other row of the flow has, and its values by name."""

    key: str = value(least=1, most=200)
    values: dict[str, Any] = value(most=500)


@dataclass(frozen=True, slots=True)
class SuiteMember:
    """One flow of a suite run: `flow` (its id) or `document` (its path among `documents`)."""

    flow: str | None = value(None, most=64)
    revision: int | None = value(None, least=1, most=2**31 - 1)
    document: str | None = value(None, most=MOST_CHARS)
    file: str | None = value(None, about="The document's file name, for messages", most=500)
    variables: dict[str, Any] = value({}, about="Variables; the values of rows and of the matrix win over them", most=500)
    rows: list[SuiteRow] | None = value(None, about="Rows instead of those that the flow has", most=LIMITS.suite_cases)
    cases: list[str] = value([], about="Keys of the rows that are wanted; all unless given", most=LIMITS.suite_cases, each=200)


@dataclass(frozen=True, slots=True)
class RequestSuiteRun:
    """What to run: a selection among the flows of the workspace (`project`, `folder`, `suite`, `tags`, all of which must hold),
    `flows` by their ids, or `members` one by one. What they need is run too."""

    name: str = value("", about="What to call it; the suite or folder unless given", most=255)
    project: str | None = value(None, most=255)
    folder: str | None = value(None, about="Flows below this folder, or the one with this path", most=MOST_CHARS)
    suite: str | None = value(None, about="Flows that say `suite:` so", most=255)
    tags: str | None = value(None, about="An expression over tags: smoke and not slow", most=1000)
    flows: list[str] = value([], most=LIMITS.suite_cases, each=64)
    members: list[SuiteMember] = value([], most=LIMITS.suite_cases)
    documents: list[PushedDocument] = value([], most=LIMITS.push_documents)
    files: list[SentFile] = value([], most=LIMITS.push_documents * 10)
    matrix: dict[str, Any] = value({}, about="Lists of values by variable; every combination is run", most=20)
    variables: dict[str, Any] = value({}, about="Variables of all cases; they win over all others", most=500)
    parallel: int | None = value(None, about="Cases at the same time", least=1, most=LIMITS.suite_parallel)
    fail_fast: bool = value(
        False, about="The first case that does not pass ends it: the rest is skipped, what runs is cancelled"
    )
    seed: str | None = value(None, about="Reproduce the random values of a run", least=1, most=64)
    trigger: str = value("api", most=64)
    priority: str | None = value(
        None, about="Which of the waiting come first; each flow's unless given", choices=tuple(PRIORITIES)
    )
    runs_on: list[str] = value([], about="Labels that the workers must have, besides each flow's", most=MOST_LABELS, each=127)
    concurrency: Concurrency | None = value(None, about="A group of every case, besides those of its flow")
    queue_timeout: str | None = value(None, about="How long a case may wait for a worker: 10m; 0s for any time", most=50)
    timeout: str | None = value(
        None,
        about="How long all of it may take, waiting included: 30m. Then the rest is skipped and what runs is cancelled",
        most=50,
    )


@dataclass(frozen=True, slots=True)
class Rerun:
    """How to run again what did not pass."""

    parallel: int | None = value(None, about="As before unless given", least=1, most=LIMITS.suite_parallel)
    timeout: str | None = value(None, about="As before unless given, from now on; 0s for any time", most=50)
