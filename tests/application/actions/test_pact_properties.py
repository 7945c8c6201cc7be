"""Properties of Pact contracts: every value is what it says, and no contract, however odd, is worse than an error."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from application.actions.pact_body import body_mismatches
from application.actions.pact_contract import read_contract, read_interaction
from application.actions.pact_dates import fits
from application.actions.pact_matchers import CHECKS, CONTAINERS
from application.actions.pact_rules import body_rules
from application.actions.pact_writing import InteractionWriter
from application.engine.action import ActionError

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
JSON = st.recursive(_PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4))
_WORDS = "match value min max regex format rules variants index matchers combine type include date eachLike values eachKey"
_WORDS += (
    " eachValue arrayContains equality $ $.a $.a[*] $.* AND OR content contentType encoded base64 path status headers body"
)
_WORDS += (
    " request response description providerStates name params matchingRules query header statusCode notEmpty /x given method"
)
ODD = st.recursive(
    _PLAIN | st.sampled_from(_WORDS.split()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS.split()), inner, max_size=4),
    max_leaves=25,
)
KINDS = st.sampled_from([*CHECKS, *CONTAINERS])


@given(JSON)
def test_a_body_is_like_itself(value: Any) -> None:
    for rules in (
        {},
        {"$": {"match": "type"}},
        {"$": {"match": "equality"}},
        {"$.*": {"match": "type"}, "$[*]": {"match": "type"}},
    ):
        assert body_mismatches(value, value, body_rules(rules), more_fields=False) == []


@given(ODD, ODD, ODD)
def test_odd_contracts_are_at_most_errors(request: Any, response: Any, states: Any) -> None:
    item = {"description": "d", "type": "Synchronous/HTTP", "request": request, "response": response, "providerStates": states}
    with suppress(ActionError):
        read_interaction(item)
    with suppress(ActionError):
        read_interaction({key: value for key, value in item.items() if key != "type"})
    with suppress(ActionError):
        InteractionWriter(4).write({"description": "d", "request": request, "response": response, "given": states}, "here")
    with suppress(ActionError):
        read_contract({"consumer": request, "provider": response, "interactions": states, "metadata": request})


@given(ODD, ODD, KINDS, st.dictionaries(st.sampled_from(_WORDS.split()), ODD, max_size=4))
def test_odd_matchers_are_at_most_errors(expected: Any, actual: Any, kind: str, more: dict[str, Any]) -> None:
    matcher = {**more, "match": kind}
    with suppress(ActionError):
        body_mismatches(expected, actual, body_rules({"$": matcher, "$.*": matcher}))


@given(st.text(alphabet="yMdHhmsSaEZXx'-: T/u", max_size=20), st.text(max_size=20))
def test_odd_date_formats_are_at_most_errors(pattern: str, text: str) -> None:
    with suppress(ActionError):
        fits("date", pattern, text)
