"""API keys: their form, their checksum, and what is stored of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api_key import PATTERN, SCOPES, ApiKey, KeyText
from domain.errors import Invalid
from domain.events import SYSTEM

END = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_key_is_recognised_by_scanners_and_read_back():
    key = KeyText.generate()
    assert re.fullmatch(PATTERN, key.text)
    assert KeyText.parse(key.text) == key


@given(st.integers(4, 65), st.sampled_from("0aZ_-"))
def test_one_changed_character_fails_the_checksum(index: int, character: str):
    text = KeyText("0" * 12, "x" * 43).text
    changed = text[:index] + character + text[index + 1 :]
    assert changed == text or KeyText.parse(changed) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_reader(text: str):
    parsed = KeyText.parse(text)
    assert parsed is None or parsed.text == text


def test_the_secret_is_not_in_the_event():
    key = KeyText.generate()
    issued = ApiKey.issue(SYSTEM, key, workspace="w", name="ci", user="u", scopes=SCOPES, expires_at=END)
    assert key.secret not in repr(issued.collect_events())


@pytest.mark.parametrize("scopes", [(), ("runs:read", "everything")])
def test_unknown_or_missing_scopes_are_refused(scopes: tuple[str, ...]):
    with pytest.raises(Invalid):
        ApiKey.issue(SYSTEM, KeyText.generate(), workspace="w", name="ci", user="u", scopes=scopes, expires_at=END)


def test_a_key_is_revoked_once():
    issued = ApiKey.issue(SYSTEM, KeyText.generate(), workspace="w", name="ci", user="u", scopes=SCOPES, expires_at=END)
    issued.revoke(SYSTEM)
    issued.revoke(SYSTEM)
    assert [type(event) for event in issued.collect_events()] == [ApiKey.Issued, ApiKey.Revoked]
