"""Which names a part of a flow reads: the engine keeps safe, before it goes on, what teardown will need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from application.documents.grammar import RETRY_KINDS
from application.documents.language import expression_names, path_names, strings, template_names
from domain.definition import FlowDefinition, Step

LONGEST_BARE = 500
"""A longer text in a config is no expression."""


def names_read(part: Step | Iterable[Step]) -> frozenset[str]:
    """The root names that steps read, nested steps included.

    Errs on the side of too many: a config text that could be an expression counts as one.
    """
    steps = (part,) if isinstance(part, Step) else tuple(part)
    return frozenset(name for step in steps for name in _step_names(step))


def teardown_reads(definition: FlowDefinition) -> frozenset[str]:
    """The root names that teardown reads."""
    return names_read(definition.teardown)


def step_expressions(step: Step) -> Iterator[str]:
    """The expressions of a step, those in its config aside."""
    yield from (check.expression for check in (*step.asserts, *step.assert_any, *step.assert_none))
    if step.when is not None:
        yield step.when
    if step.until is not None:
        yield step.until.condition
    if step.retry is not None:
        yield from (text for text in (*step.retry.retry_on, *step.retry.retry_on_not) if text not in RETRY_KINDS)


def _step_names(step: Step) -> Iterator[str]:
    for text in step_expressions(step):
        yield from expression_names(text)
    for path in step.output.values():
        yield from path_names(path)
    for text in (step.name or "", step.description or "", *strings(dict(step.config))):
        yield from template_names(text)
    for text in strings(dict(step.config)):
        if len(text) <= LONGEST_BARE:
            yield from expression_names(text)
    for body in (*step.bodies.values(), step.on_error.steps):
        yield from names_read(body)
