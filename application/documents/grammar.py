"""The grammar of flow documents as tables: every key of the document, a step and their blocks, and what it may hold."""

from __future__ import annotations

import re
from typing import Any

from application.documents.quotes import quote_remedy
from application.documents.records import Either, Key, ListOf, MapOf, Record, Steps
from application.documents.shapes import (
    IDENTIFIER,
    Anything,
    Bool,
    Checking,
    Choice,
    Duration,
    Expression,
    Integer,
    Mapped,
    OutputPath,
    Shape,
    Text,
    name_of,
)
from domain.definition import INPUT_TYPES, Path
from domain.expressions import is_template
from domain.queueing import LABEL, MOST_PLACES, NAME_CHARS, PRIORITIES, WHEN_FULL

OTHER_ACTIONS = {
    "include": "run_flow",
    "call": "run_flow",
    "db": "database_query",
    "sql": "database_query",
    "query": "database_query",
    "req": "http_request",
    "request": "http_request",
    "rest": "http_request",
    "api": "http_request",
    "fetch": "http_request",
    "curl": "http_request",
    "graphql": "http_request",
    "get": "http_request",
    "post": "http_request",
    "put": "http_request",
    "patch": "http_request",
    "delete": "http_request",
    "test": "assert",
    "expect": "assert",
    "check": "assert",
    "sleep": "delay",
    "wait": "delay",
    "pause": "delay",
    "print": "log",
    "echo": "log",
    "dump": "log",
    "debug": "log",
    "if": "condition",
    "loop": "for_each",
    "foreach": "for_each",
    "repeat": "for_each",
    "ws": "websocket",
    "mock": "mock_server_start",
    "redis": "redis.command",
    "kafka": "kafka_producer",
}
"""What actions are called elsewhere, for hints alone."""
NO_PROGRAMS = ("exec", "shell", "bash", "sh", "command", "script", "ssh", "cdp")
ON_ERROR = ("fail", "continue", "retry")
RETRY_KINDS = ("timeout", "connection_error", "assertion")
PHASES = ("setup", "steps", "teardown")
CHECKS = ("assert", "assert_any", "assert_none")
EXPRESSION_KEYS = ("expression", "that")


def _meant(words: dict[str, str]) -> dict[str, str]:
    """Wrong words, grouped by the right one, as a mapping from wrong to right."""
    return {wrong: right for right, wrongs in words.items() for wrong in wrongs.split()}


_OF_CONFIGS = frozenset(
    {"auth", "body", "cookies", "connection", "form", "graphql", "headers", "json", "key", "message", "method"}
    | {"multipart", "params", "query", "topic", "url", "value", "verify_ssl"}
)
"""Keys of actions that people look for in the step itself."""
_IDENTIFIER = Text(minimum=1, maximum=100, pattern=IDENTIFIER.pattern)
_WORD = Text(minimum=1, maximum=255)
_WORDS = ListOf(_WORD)


class Plain(Text):
    """A text that is needed before any variable is known."""

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if is_template(str(value)):
            remedy = "write it out, or let whoever requests a run give it"
            checking.error(path, f"{name_of(path)} is needed before any variable is known, and cannot have templates", remedy)
        else:
            super().inside(value, path, checking)


class Label(Plain):
    """A label of a worker."""

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if re.fullmatch(LABEL, str(value)) or is_template(str(value)):
            super().inside(value, path, checking)
        else:
            checking.error(path, f'"{value}" cannot be a label', "write a word or name=value: gpu, region=eu")


_PLAIN_WORD = Plain(minimum=1, maximum=NAME_CHARS)
_LABEL = Label(minimum=1, maximum=127)


class RetryReason(Expression):
    """An expression over the result, or one of the three words."""

    label = "an expression, or timeout, connection_error or assertion"


class AssertionRecord(Record):
    """An expression with a message; knows what YAML makes of expressions that lack quotes."""

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        key, item = next(iter(value.items()), ("", None))
        if len(value) != 1 or key in self.keys:
            super().inside(value, path, checking)
        elif re.fullmatch(r"[\w.$\[\]-]+", key) and isinstance(item, str | int | float | bool):
            shown = f'"{item}"' if isinstance(item, str) else str(item).lower()
            checking.error(path, f'"{key}: ..." is not an assertion', f"write it as an expression: {key} == {shown}")
        else:
            checking.error(path, "YAML splits this assertion at its colon", quote_remedy(checking.line(path), whole_item=True))


ASSERTION = AssertionRecord(
    {
        "expression": Key(Expression(), description="What must hold."),
        "that": Key(Expression(), description="What must hold (another word for expression)."),
        "message": Key(Text(), description="What to say when it does not hold."),
    },
    what="An assertion",
    synonyms=_meant({"expression": "expr condition check", "message": "msg"}),
    one_of=(EXPRESSION_KEYS,),
)

RETRY = Record(
    {
        "enabled": Key(Bool(), description="false: no retry, not even the flow's default; true where it is not given."),
        "max_attempts": Key(Integer(1, 10), description="Attempts in all."),
        "delay": Key(Duration(), description="Time before the second attempt."),
        "backoff": Key(Choice(("constant", "linear", "exponential")), description="How the delay grows."),
        "jitter": Key(Bool(), description="Whether the delay varies at random."),
        "retry_on": Key(ListOf(RetryReason()), description="Retry only for these reasons."),
        "retry_on_not": Key(ListOf(RetryReason()), description="Never retry for these reasons."),
    },
    what="A retry block",
    synonyms=_meant({"max_attempts": "attempts times count max", "delay": "interval wait"}),
)

UNTIL = Record(
    {
        "condition": Key(Expression(), description="The step is done when this holds."),
        "expression": Key(Expression(), description="Another word for condition."),
        "interval": Key(Duration(), description="Time between two tries."),
        "timeout": Key(Duration(), description="How long to wait in all."),
    },
    what="An until block",
    synonyms=_meant({"condition": "that", "interval": "delay every", "timeout": "max_duration"}),
    one_of=(("condition", "expression"),),
)

ON_TIMEOUT: Shape = Either((Choice(ON_ERROR), Steps()))

ON_ERROR_BLOCK = Record(
    {
        "action": Key(Choice(ON_ERROR), description="What the failure does to the flow."),
        "error_steps": Key(Steps(), description="Steps that run only when this step failed."),
        "on_timeout": Key(ON_TIMEOUT, description="The same for a timeout, or steps that run when the step timed out."),
    },
    what="An on_error block",
    synonyms=_meant({"error_steps": "steps"}),
)

INPUT = Record(
    {
        "type": Key(Choice(INPUT_TYPES), description="What it must be; texts that say it are read."),
        "required": Key(Bool(), description="Whether it must be given."),
        "default": Key(Anything(), description="Its value where it is not given."),
        "description": Key(Text(), description="What it is for."),
    },
    what="An input",
)


class DeclaredOr(Anything):
    """A default, or an object that says more about an input."""

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if not is_declaration(value):
            return super().inside(value, path, checking)
        if value.get("required") is True and value.get("default") is not None:
            checking.error((*path, "required"), "An input with a default is never missing", "remove required or default")
        return INPUT.inside(value, path, checking)


def is_declaration(value: Any) -> bool:
    """Whether an input is written as an object that says more about it than its default."""
    return isinstance(value, dict) and value.keys() <= INPUT.keys.keys() and not value.keys().isdisjoint(_DECLARING)


_DECLARING = ("type", "required", "default")

DATA_BLOCK = Record(
    {
        "rows": Key(ListOf(MapOf(Anything()), single=False), description="The rows themselves."),
        "file": Key(_WORD, description="A file beside the flow: .csv, .json or .jsonl."),
        "key": Key(_IDENTIFIER, description="The column that names a row."),
        "delimiter": Key(Text(1, 1, numbers=False), description="What separates columns of a CSV file; a comma by default."),
    },
    what="A data block",
    synonyms=_meant({"file": "path csv json", "key": "id name", "rows": "items cases"}),
    one_of=(("rows", "file"),),
)
DATA: Shape = Either((ListOf(MapOf(Anything()), single=False), DATA_BLOCK, _WORD))
ASSERTIONS: Shape = ListOf(Either((Expression(), ASSERTION)))
RETRIES: Shape = Either((Integer(1, 10), RETRY))

STEP = Record(
    {
        "id": Key(_IDENTIFIER, description="The name under which later steps find this one's results."),
        "name": Key(_WORD, description="What people read."),
        "description": Key(Text(), description="Why the step is there."),
        "when": Key(Expression(), description="The step is skipped unless this holds."),
        "action": Key(Text(minimum=1, numbers=False), required=True, description="What the step does."),
        "config": Key(Mapped(), description="The settings of the action."),
        "assert": Key(ASSERTIONS, description="Every one must hold."),
        "assert_any": Key(ASSERTIONS, description="At least one must hold."),
        "assert_none": Key(ASSERTIONS, description="None may hold."),
        "output": Key(MapOf(OutputPath()), description="Names for parts of the result."),
        "retry": Key(RETRIES, description="Tolerance of failure."),
        "until": Key(Either((Expression(), UNTIL)), description="Expected waiting."),
        "timeout": Key(Duration(), description="Bounds the whole step."),
        "on_error": Key(
            Either((Choice(ON_ERROR), Steps(), ON_ERROR_BLOCK)),
            description="What a failure does to the flow, or the error_steps of a failure that fails it.",
        ),
        "error_steps": Key(Steps(), description="Steps that run only when this step failed."),
        "on_timeout": Key(ON_TIMEOUT, description="As below on_error."),
        "disabled": Key(Bool(), description="Whether the step is left out."),
        "tags": Key(_WORDS, description="Words to select steps by."),
        "secret_outputs": Key(ListOf(_IDENTIFIER), description="Outputs that are masked everywhere."),
        "once": Key(_WORD, description="Runs a single time for all flows of a run that name it; setup steps only."),
    },
    what="A step",
    synonyms=_meant(
        {
            "assert": "assertions asserts expect test tests check checks validate",
            "output": "outputs capture captures extract bind save register",
            "when": "if condition",
            "action": "type uses run",
            "config": "with args",
            "retry": "retries",
            "disabled": "skip ignore",
            "on_error": "continue_on_error",
            "until": "wait_until",
            "name": "title desc",
        }
    ),
    remedies={
        "loop": "write until to wait for something, retry to tolerate failures, or the action for_each to repeat steps",
        **dict.fromkeys(("foreach", "for_each", "repeat"), "write a step of the action for_each around it"),
        **dict.fromkeys(("include", "call"), "write a step of the action run_flow"),
        **dict.fromkeys(
            ("delay", "sleep", "wait"), "write a step of the action delay before it, or until to wait for something"
        ),
        **dict.fromkeys(("defer", "finally", "cleanup"), "write the step below teardown"),
        **{name: f"{name} belongs below config" for name in _OF_CONFIGS},
    },
)

CONCURRENCY = Record(
    {
        "group": Key(_PLAIN_WORD, required=True, description="Its name in the workspace."),
        "max": Key(Integer(1, MOST_PLACES), description="How many go on at a time; 1 unless given."),
        "when_full": Key(
            Choice(WHEN_FULL),
            description="queue: wait; cancel_older: older ones are cancelled; skip: end at once as cancelled.",
        ),
        "timeout": Key(Duration(), description="How long a run may wait for its place before it ends as timed_out."),
    },
    what="A concurrency block",
    synonyms=_meant({"group": "name", "max": "limit maximum", "when_full": "policy"}),
)

CONFIG = Record(
    {
        "timeout": Key(Duration(), description="Bounds the whole flow but its teardown."),
        "teardown_timeout": Key(Duration(), description="Bounds the teardown."),
        "fail_fast": Key(Bool(), description="Whether the first failure ends the flow."),
        "retry": Key(RETRIES, description="The default of steps without a retry block of their own."),
        "on_worker_lost": Key(Choice(("restart", "fail")), description="What happens when the worker dies."),
        "priority": Key(Choice(tuple(PRIORITIES)), description="Which of the waiting runs come first on workers."),
        "runs_on": Key(ListOf(_LABEL), description="Labels that the worker must have: gpu, region=eu."),
        "queue_timeout": Key(Duration(), description="How long a run may wait for a worker before it ends as timed_out."),
        "concurrency": Key(
            Either((_PLAIN_WORD, CONCURRENCY)), description="A group of which only so many runs go on at a time, or its name."
        ),
    },
    what="The flow's config",
    synonyms=_meant({"concurrency": "concurrency_group resource_group group", "runs_on": "labels agents runs-on"}),
)

FLOW = Record(
    {
        "id": Key(_IDENTIFIER, description="Identifies the flow when its file moves."),
        "name": Key(_WORD, required=True, description="What people read."),
        "description": Key(Text(), description="What the flow proves."),
        "version": Key(Text(), description="The author's own version."),
        "author": Key(Text(), description="Whom to ask."),
        "suite": Key(Text(), description="The group that the flow belongs to."),
        "tags": Key(_WORDS, description="Words to select flows by."),
        "env": Key(MapOf(Anything()), description="Variables, the weakest of all sources."),
        "env_file": Key(_WORDS, description="Files of variables, KEY=VALUE a line."),
        "inputs": Key(
            MapOf(DeclaredOr()),
            description="Names that run_flow may set: each with its default, or an object of type, required, default and"
            " description.",
        ),
        "outputs": Key(MapOf(OutputPath()), description="What run_flow hands back."),
        "config": Key(CONFIG, description="Settings of the whole flow."),
        "setup": Key(Steps(), description="Steps that come first."),
        "steps": Key(Steps(1), required=True, description="The steps of the test."),
        "on_error": Key(Steps(), description="Steps that run when a step failed, before teardown."),
        "teardown": Key(Steps(), description="Steps that always run at the end."),
        "graph": Key(Anything(), description="The picture of an editor; ignored."),
        "data": Key(DATA, description="Rows, each of which is a case of its own."),
        "needs": Key(_WORDS, description="Flows that must pass first: paths, names or ids."),
        "lock": Key(
            ListOf(_PLAIN_WORD), description="Of the flows that name a lock, a single one runs at a time, on all workers."
        ),
    },
    what="A flow",
    synonyms=_meant(
        {"env": "variables vars environment", "name": "title", "setup": "before", "teardown": "after", "steps": "tests"}
    ),
)
