"""Formatting: canonical order and indentation; comments, quotes, anchors and above all the meaning stay."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from application.actions.registry import ACTIONS
from application.documents.formatting import format_flow
from application.flow_documents import normalised, read_flow
from domain.errors import InvalidFlow

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path for folder in ("examples", "docs/examples") for path in (ROOT / folder).rglob("*.yaml"))
FLOWS = [path for path in EXAMPLES if "\nflow:\n" in "\n" + path.read_text()]

UGLY = """# head
flow:
      steps:
      # about the first
      - action: http_request   # what it does
        # its id
        id: a
        config: {url: "${x}/y", method: 'GET'}


        # its checks
        assert:
        - status == 200   # fine
        - {message: m, expression: "a == 1"}
        # more to come
      - id: b
        action: log
        config:
            message: |
              # no comment
              one

              two
            level: info
        # the end of b

      - {action: delay, id: c, config: {duration: 1s}}
      # about the name
      name: hello
      env:
          x: 1.10   # as text
          base: &base
              y: 0x1f
          other: {<<: *base, z: 2001-12-14}
# the end
"""
PRETTY = """# head
flow:
  # about the name
  name: hello
  env:
    x: 1.10   # as text
    base: &base
      y: 0x1f
    other: {<<: *base, z: 2001-12-14}
  steps:
    # about the first
    # its id
    - id: a
      action: http_request   # what it does
      config: {url: "${x}/y", method: 'GET'}

      # its checks
      assert:
        - status == 200   # fine
        - {expression: "a == 1", message: m}
        # more to come
    - id: b
      action: log
      config:
        message: |
          # no comment
          one

          two
        level: info
      # the end of b

    - {id: c, action: delay, config: {duration: 1s}}
# the end
"""


def test_an_ugly_file_becomes_a_pretty_one() -> None:
    assert format_flow(UGLY) == PRETTY


def test_what_is_pretty_stays() -> None:
    assert format_flow(PRETTY) == PRETTY


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_keep_their_meaning_and_their_comments(path: Path) -> None:
    text = path.read_text()
    made = format_flow(text)
    assert normalised(made) == normalised(text)
    assert made.count("#") == text.count("#")


@pytest.mark.parametrize(
    "text",
    [
        "flow: {steps: [{action: log, config: {message: x}}], name: x}",
        "name: bare\r\nsteps:\r\n- action: log\r\n  config: {message: x}\r\n",
        "flow:\n  name: ~\n  description:\n  version: 1.10\n  steps: []\n",
        "flow:\n  steps:\n    - &one\n      config: {message: x}\n      action: log\n    - *one\n  name: x\n",
        "flow:\n  steps:\n    -\n      # inside\n      config: {message: x}\n      action: log\n  name: x\n",
        "flow:\n  name: >-\n    folded\n    text\n\n    more\n  steps:\n  - action: log\n",
        "flow:\n  name: x\n  steps:\n  - action: log\n    config:\n      message: |+\n        kept\n\n\n",
        "flow:\n  name: 'it''s'\n  steps:\n  - action: log\n    config:\n      message: \"a\\\n        b\"\n",
        "\ufeffflow:\n  name: x\n  steps:\n  - action: log # c\n    # d\n",
        'flow:\n  ? name\n  : x\n  steps:\n    - {action: log, "config": {message: !!str 12}}\n',
        "--- # start\nflow:\n  name: x\n  steps: [{action: log}]\n...\n",
    ],
)
def test_odd_spellings_keep_their_meaning(text: str) -> None:
    made = format_flow(text)
    assert normalised(made) == normalised(text)
    assert format_flow(made) == made


@pytest.mark.parametrize("text", ["flow: [", "a: 1\na: 2\n", "flow: *nowhere\n"])
def test_what_is_no_yaml_is_reported_as_validate_does(text: str) -> None:
    with pytest.raises(InvalidFlow) as refused:
        format_flow(text, file="f.yaml")
    assert refused.value.problems[0].file == "f.yaml"


def test_what_is_no_flow_keeps_its_content_too() -> None:
    assert format_flow("b:   1\na: [1,   2]\n") == "b: 1\na: [1, 2]\n"
    assert format_flow("# nothing\n") == "# nothing\n"


def test_a_comment_where_it_cannot_be_moved_stays_with_its_lines() -> None:
    text = "flow:\n  steps: [{action: log,\n      # why\n      config: {message: x}}]\n  name: x\n"
    assert format_flow(text) == "flow:\n  name: x\n  steps: [{action: log,\n      # why\n      config: {message: x}}]\n"


WORDS = st.text("ab 0.:#-'\"{}[]&*!|>%@`,?\\é漢\U0001f600\t\u2028", max_size=8)
TEXTS = st.one_of(
    WORDS.filter(lambda text: "{{" not in text and "${" not in text),
    st.sampled_from(
        [
            "yes",
            "0x1f",
            "12:30:45",
            "1e3",
            "~",
            "null",
            "# x",
            "a: b",
            "- a",
            "a\nb\n",
            " a\n b",
            "a #b",
            "${x ?? 1}",
            "",
            "\n\n",
        ]
    ),
)
SCALARS = st.one_of(TEXTS, st.integers(-9999, 9999), st.booleans(), st.none(), st.floats(-1e6, 1e6, allow_nan=False))
KEYS = st.sampled_from(["a", "b c", "200", "on", "x-y", "# k", "é", "${x ?? 1}"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
CHECKS = st.one_of(
    st.sampled_from(["message == 'x'", "1 < 2", "len(message) > 0"]),
    st.fixed_dictionaries({"message": TEXTS, "expression": st.just("1 == 1")}),
)


@st.composite
def steps(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    """A step with its keys in any order."""
    step: dict[str, Any] = {"action": "log", "config": {"message": draw(VALUES.filter(lambda value: value is not None))}}
    if draw(st.booleans()):
        step["name"] = draw(TEXTS.filter(str.strip))
    if draw(st.booleans()):
        step["assert"] = draw(st.lists(CHECKS, max_size=3))
    if draw(st.booleans()):
        step["retry"] = {"delay": "1s", "max_attempts": draw(st.integers(1, 10))}
    if depth == 0 and draw(st.booleans()):
        step["on_error"] = {"error_steps": draw(st.lists(steps(1), max_size=2)), "action": "continue"}
    return dict(draw(st.permutations(list(step.items()))))


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A valid flow in one of many layouts, with comments and blank lines strewn in."""
    flow: dict[str, Any] = {"name": draw(TEXTS.filter(str.strip)), "steps": draw(st.lists(steps(), min_size=1, max_size=3))}
    if draw(st.booleans()):
        flow["env"] = {"x": draw(VALUES), "y": draw(VALUES)}
    if draw(st.booleans()):
        flow["teardown"] = draw(st.lists(steps(), max_size=2))
    flow = dict(draw(st.permutations(list(flow.items()))))
    text = yaml.safe_dump(
        {"flow": flow},
        sort_keys=False,
        allow_unicode=draw(st.booleans()),
        default_flow_style=draw(st.sampled_from([None, False, True])),
        indent=draw(st.integers(2, 6)),
        width=draw(st.sampled_from([20, 80, 1000])),
    )
    before = normalised(text)
    lines = text.split("\n")
    for _ in range(draw(st.integers(0, 5))):
        place, indent = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, 8))
        addition = draw(st.sampled_from([" " * indent + "# a comment", ""]))
        tried = [*lines[:place], addition, *lines[place:]]
        if _same("\n".join(tried), before):
            lines = tried
    return "\n".join(lines)


def _same(text: str, content: bytes) -> bool:
    try:
        return normalised(text) == content
    except InvalidFlow:
        return False


def _meaning(text: str) -> dict[str, Any]:
    definition, _ = read_flow(text, actions=ACTIONS)
    return asdict(replace(definition, source="", positions={}))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(documents())
@example(UGLY)
def test_every_definition_survives(text: str) -> None:
    made = format_flow(text)
    assert _meaning(made) == _meaning(text)
    assert format_flow(made) == made


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
def test_the_examples_are_in_canonical_form(path: Path) -> None:
    assert format_flow(path.read_text()) == path.read_text()
