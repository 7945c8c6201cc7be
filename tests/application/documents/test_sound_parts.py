"""Errors of one part hide none of another: names are checked in whatever is sound, and nothing is said that is not so."""

from __future__ import annotations

import pytest

from application.actions.registry import ACTIONS
from application.flow_documents import read_flow
from domain.errors import InvalidFlow


def told(text: str, known: tuple[str, ...] = ()) -> list[str]:
    """The first lines of all problems."""
    with pytest.raises(InvalidFlow) as refused:
        read_flow(text, actions=ACTIONS, known_variables=known)
    return [problem.title for problem in refused.value.problems]


BROKEN = "    - {id: make, action: log, config: {mesage: x}, output: {user: $.message}}\n"


def flow(steps: str, head: str = "") -> str:
    return f"flow:\n  name: a\n{head}  steps:\n{steps}"


def test_a_misspelled_name_is_told_beside_a_misspelled_key() -> None:
    found = told(flow(BROKEN + "    - {action: log, config: {message: '${usr}'}}\n"))
    assert found == ['log has no key "mesage"', 'Nothing defines "usr"']


@pytest.mark.parametrize("name", ["user", "make.message", "step_1", "step_2", "base", "n", "item"])
def test_what_a_broken_part_may_define_is_known(name: str) -> None:
    head = "  env: {base: 1, 2x: 2}\n  inputs: {n: 1}\n"
    loop = "    - {action: for_each, config: {items: 5, item_name: item, steps: [{action: nothing}]}}\n"
    found = told(flow(BROKEN + loop + f"    - {{action: log, config: {{message: '${{{name}}}'}}}}\n", head))
    assert not [title for title in found if "defines" in title or "not known" in title]


def test_rows_that_cannot_be_read_may_bring_any_name() -> None:
    found = told(flow("    - {action: log, config: {message: '${city}'}}\n", "  data: {rowz: []}\n"))
    assert len(found) == 1


NOTHING_SOUND = ("{steps: [{action: log}]}", "{name: a, steps: {}}", "{name: a}", "{name: [], steps: 1}")


@pytest.mark.parametrize("text", NOTHING_SOUND)
def test_a_document_without_anything_sound_is_told_as_before(text: str) -> None:
    assert told(f"flow: {text}")


def test_what_is_doubtful_comes_along_with_what_is_wrong() -> None:
    text = flow(BROKEN + "    - {action: log, config: {message: '${usr}'}}\n")
    with pytest.raises(InvalidFlow) as refused:
        read_flow(text, actions=ACTIONS)
    assert [problem.title for problem in refused.value.warnings] == ['Nothing defines "usr", unless it is given with --var']
