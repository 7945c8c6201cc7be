"""Hostile documents are refused before anything is built from them, in no time."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.flow_documents import normalised, read_flow
from domain.errors import InvalidFlow
from tests.application.documents.some_actions import ACTIONS
from tests.support.cpu_time import at_most

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 23))
BIG_REPEATED = "a: &a " + "x" * 60_000 + "\nb: [" + "*a, " * 5_000 + "]"
NESTED_ALIASES = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200))
HOSTILE = {
    "billion laughs": LAUGHS,
    "40 kB of [": "[" * 40_000,
    "40 kB of {": "{" * 40_000,
    "40 kB of dashes": "- " * 20_000,
    "40 kB of questions": "? " * 20_000,
    "merge chain": MERGES,
    "list in itself": "&a [*a]",
    "mapping in itself": "&a {x: *a}",
    "python object": "!!python/object/apply:os.system ['id']",
    "python name": "a: !!python/name:os.system",
    "binary": "a: !!binary aGk=",
    "own tag": "%TAG ! tag:x,2000:\n---\na: !y 1",
    "big text repeated": BIG_REPEATED,
    "depth by aliases": NESTED_ALIASES,
    "too many values": "[" + "1," * 30_000 + "]",
    "too big": "a: x\n" * 60_000,
    "long text": "a: " + "x" * 70_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_refused_before_it_is_built(name: str) -> None:
    # 0.1 s is the goal; on a slow machine the same refusal takes longer, a bomb would take minutes.
    with at_most(1.0), pytest.raises(InvalidFlow) as caught:
        read_flow(HOSTILE[name], actions=ACTIONS)
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize("line", ["a{}: {{{{x}}}}\n", "- {{{{x}}}}: {}\n", "k: {}\n", "? [{}]\n: 1\n"])
def test_a_document_with_thousands_of_mistakes_is_reported_shortly(line: str) -> None:
    with at_most(1.5), pytest.raises(InvalidFlow) as caught:
        read_flow("".join(line.format(i) for i in range(3_000)), actions=ACTIONS)
    assert len(caught.value.problems) <= 200


WORDS = (
    "flow: name: steps: - action: log config: {message: assert: output: retry: until: on_error: id: when: env: [ ] { } & * ! "
    "<<: ${ {{ }} } ' \" | > # : ? ~ 1 true null x timeout: error_steps: teardown: \n \n  \t"
)
PIECES = st.sampled_from(WORDS.split(" "))


@given(st.lists(PIECES, max_size=40).map(" ".join))
@settings(max_examples=400, deadline=None)
def test_no_text_makes_reading_raise_anything_but_an_invalid_flow(text: str) -> None:
    with suppress(InvalidFlow):
        read_flow(text, actions=ACTIONS)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_reading_raise_anything_but_an_invalid_flow(data: bytes) -> None:
    with suppress(InvalidFlow):
        normalised(data)
    with suppress(InvalidFlow):
        read_flow(data, actions=ACTIONS)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
STEP_KEYS = st.sampled_from(
    ["id", "name", "config", "assert", "output", "retry", "until", "on_error", "tags", "when", "timeout"]
)


@given(st.dictionaries(STEP_KEYS, VALUES, max_size=5), st.sampled_from(["log", "http", "for_each", "condition"]), VALUES)
@settings(max_examples=400, deadline=None)
def test_no_value_under_any_key_makes_reading_raise_anything_but_an_invalid_flow(
    step: dict[str, object], action: str, env: object
) -> None:
    document = {"flow": {"name": "x", "env": env, "steps": [{**step, "action": action}]}}
    with suppress(InvalidFlow):
        read_flow(json.dumps(document), actions=ACTIONS)
