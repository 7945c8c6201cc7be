"""How an execution waits for its turn: priority, the labels that its worker must have, and the groups whose places it takes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.errors import Invalid
from domain.values import dataclass

if TYPE_CHECKING:
    from domain.definition import FlowDefinition

PRIORITIES: Mapping[str, int] = {"low": -1, "normal": 0, "high": 1}
"""The priorities by their names, as events record them."""
FIRST = max(PRIORITIES.values())
"""Of whoever has a place in a group, or is called to one, while others wait for it."""
WHEN_FULL = ("queue", "cancel_older", "skip")
"""What becomes of an execution whose group is full: it waits, older ones are cancelled for it, or it ends at once."""
LABEL = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}(=[A-Za-z0-9._-]{1,63})?"
"""A label of a worker: a word, or a word with a value, such as gpu or region=eu."""
WORKSPACE_GROUP = ""
"""The group of all executions of a workspace, where there is a quota; no other can have this name."""
NAME_CHARS, MOST_PLACES, MOST_LABELS, MOST_GROUPS = 255, 10_000, 10, 10


@dataclass(frozen=True, slots=True)
class Group:
    """A concurrency group of a workspace: at most `max` executions that name it run at a time, teardown included.

    `timeout` bounds the wait for a place in seconds; 0 for no bound of its own.
    """

    name: str
    max: int = 1
    when_full: str = "queue"
    timeout: float = 0.0

    def plain(self) -> dict[str, Any]:
        """As events record it."""
        return {"name": self.name, "max": self.max, "when_full": self.when_full, "timeout": self.timeout}


@dataclass(frozen=True, slots=True)
class Queueing:
    """All of it for one execution. `queue_timeout` bounds the wait for a worker in seconds; 0 for none."""

    priority: int = 0
    runs_on: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    queue_timeout: float = 0.0

    def plain(self) -> dict[str, Any]:
        """As the fields of Requested."""
        groups = [group.plain() for group in self.groups]
        return {
            "priority": self.priority,
            "runs_on": list(self.runs_on),
            "groups": groups,
            "queue_timeout": self.queue_timeout,
        }


def checked_labels(labels: Sequence[str], where: str) -> tuple[str, ...]:
    """Labels in their one order, each once. Invalid when one is none or there are too many; `where` is named then."""
    for label in labels:
        if not re.fullmatch(LABEL, label):
            raise Invalid(
                f"{where}: {label[:130]!r} cannot be a label",
                code="invalid_label",
                remedy="write a word or name=value: gpu, region=eu",
            )
    found = tuple(sorted(set(labels)))
    if len(found) > MOST_LABELS:
        raise Invalid(f"{where}: there may be {MOST_LABELS} labels, these are {len(found)}", code="invalid_label")
    return found


def may_take(labels: Collection[str], runs_on: Sequence[str]) -> bool:
    """Whether a worker with these labels may run what asks for `runs_on`."""
    return set(runs_on) <= set(labels)


def merged(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Each name once: the smaller `max` counts, and the first policy. Invalid when there are too many."""
    found: dict[str, Group] = {}
    for group in groups:
        before = found.get(group.name)
        smaller = min(before.max, group.max) if before else group.max
        found[group.name] = Group(group.name, smaller, before.when_full, before.timeout) if before else group
    if len(found) > MOST_GROUPS:
        raise Invalid(f"an execution may be in {MOST_GROUPS} groups, this one would be in {len(found)}", code="invalid_group")
    return tuple(found.values())


def groups_of(definition: FlowDefinition) -> tuple[Group, ...]:
    """The groups that a flow names: its concurrency, and a group of one place for each lock."""
    own = definition.config.concurrency
    return merged([*([own] if own else []), *map(Group, definition.lock)]) if own or definition.lock else ()
