"""What a flow, a request and the server say together about how an execution waits for its turn."""

from __future__ import annotations

from domain.definition import FlowDefinition
from domain.queueing import PRIORITIES, WORKSPACE_GROUP, Group, Queueing, checked_labels, groups_of, merged
from domain.values import dataclass

QUEUE_TIMEOUT_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class QueueRules:
    """The server's rules. `queue_timeout` in seconds, 0 for none; `workspace_concurrency` executions of a workspace run at a
    time, 0 for any number."""

    queue_timeout: float = QUEUE_TIMEOUT_SECONDS
    workspace_concurrency: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request says itself: `priority` and `queue_timeout` (seconds) win over the flow's, the rest comes on top."""

    priority: str | None = None
    runs_on: tuple[str, ...] = ()
    group: Group | None = None
    queue_timeout: float | None = None


def decided(definition: FlowDefinition, wish: Wish, rules: QueueRules) -> Queueing:
    """All of it for one execution. Invalid when labels or groups are too many, or no labels at all."""
    config = definition.config
    asked = [wish.group] if wish.group is not None else []
    quota = [Group(WORKSPACE_GROUP, rules.workspace_concurrency)] if rules.workspace_concurrency else []
    bounds = (wish.queue_timeout, config.queue_timeout, rules.queue_timeout)
    return Queueing(
        PRIORITIES[wish.priority or config.priority or "normal"],
        checked_labels([*wish.runs_on, *config.runs_on], "runs_on"),
        (*merged([*asked, *groups_of(definition)]), *quota),
        next(bound for bound in bounds if bound is not None),
    )
