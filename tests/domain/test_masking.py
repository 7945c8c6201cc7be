"""Masking: no secret shows itself in any of its forms."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.masking import Masker, _Finder
from domain.secret_automaton import AUTOMATON_BYTES, automaton
from tests.support.encodings import ENCODINGS, bare, forms, told

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=8, max_size=40)


def masker(*secrets: str) -> Masker:
    made = Masker(b"key")
    for secret in secrets:
        made.add(secret)
    return made


@given(SECRETS, st.integers(0, 5))
def test_a_secret_is_found_in_every_form(secret: str, lead: int):
    forms = [
        secret,
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        secret.encode().hex(),
        base64.b64encode(secret.encode()).decode(),
    ]
    mask = masker(secret)
    for form in forms:
        assert form not in mask.mask_text(f"before {form} after")
    longer = base64.b64encode(b"x" * lead + secret.encode() + b"y").decode()
    assert mask.mask_text(longer) != longer


def test_text_around_secrets_stays_as_it_is():
    mask = masker("pässwörd", "nul\x00inside", "a.b*c|d")
    text = "ä\ud800{}€{}\x00{}𝄞"
    masked = mask.mask_text(text.format("pässwörd", "nul\x00inside", "a.b*c|d"))
    tokens = [mask.mask_text(secret) for secret in ("pässwörd", "nul\x00inside", "a.b*c|d")]
    assert masked == text.format(*tokens)
    assert mask.mask_text(text) == text
    assert mask.mask_text("aXbbc") == "aXbbc"


@given(st.lists(st.text("ab", min_size=4, max_size=7), max_size=4), st.text("ab", max_size=40))
def test_the_first_and_longest_form_is_replaced(secrets: list[str], text: str):
    expected, rest = "", text
    token = {secret: masker(secret).mask_text(secret) for secret in secrets}
    while rest:
        found = max((secret for secret in secrets if rest.startswith(secret)), key=len, default="")
        expected += token[found] if found else rest[0]
        rest = rest[len(found) or 1 :]
    mask = Masker(b"key")
    mask._tokens = token
    assert mask.mask_text(text) == expected


def test_long_secrets_are_masked_too():
    long = "0123456789abcdef" * 1000
    assert long not in masker(long, "another one").mask_text(f"before {long} after")


def test_what_is_too_much_for_the_automaton_is_masked_all_the_same():
    tokens = {"secret": "[1]", "secret of mine": "[2]"}
    for memory in (AUTOMATON_BYTES, 100):
        assert _Finder(tokens, {}, memory).replace("a secret of mine, a secret") == "a [2], a [1]"


def test_keys_values_and_lists_are_masked():
    masked = masker("hunter22").mask({"hunter22": ["a hunter22", 1, None]})
    assert "hunter22" not in json.dumps(masked)


def test_the_longest_secret_wins_and_tokens_are_stable():
    mask = masker("pass-word", "pass-word-longer")
    long = mask.mask_text("pass-word-longer")
    assert long == mask.mask_text("pass-word-longer")
    assert long != mask.mask_text("pass-word")
    assert "longer" not in long


def test_short_secrets_are_refused_and_ruin_nothing():
    mask = masker()
    assert [mask.add(short) for short in ("1", " 1  ", "1234", "")] == [False, False, True, True]
    assert mask.mask_text("11") == "11"


def test_headers_with_credentials_are_masked_by_name():
    assert masker().mask_headers({"Authorization": "Bearer x", "Accept": "*/*"}) == {
        "Authorization": "[masked]",
        "Accept": "*/*",
    }


def test_a_secret_with_quotes_is_found_in_json_that_is_a_text_inside_json() -> None:
    secret = 'sup3r"s3cret\\x'
    masker = Masker(b"key")
    masker.add(secret)
    once = json.dumps({"password": secret})
    for text in (once, json.dumps({"echo": once})):
        masked = masker.mask_text(text)
        assert "s3cret" not in masked
        assert "[secret:" in masked


NASTY = """k3y&"<é>'=one/two\\+7f3a9c55d1 e0"""


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "unicode_escapes"])
def test_texts_inside_of_texts_hide_no_secret(name: str) -> None:
    known, text = masker(NASTY), told(NASTY)[name]
    for _ in range(4):
        for outer in (
            text,
            json.dumps(text),
            json.dumps(text, ensure_ascii=False),
            repr(text),
            quote(json.dumps({"a": NASTY})),
        ):
            masked = bare(known.mask_text(outer))
            assert [form for form, shape in forms(NASTY).items() if bare(shape) in masked] == []
        text = json.dumps(text)


def test_what_is_left_of_a_secret_where_a_text_was_cut_off_goes_too() -> None:
    known = masker(NASTY, "0123456789abcdefghij")
    for rest in (NASTY[:12], json.dumps(NASTY[:25])[1:-1], quote(NASTY[:20])[:-1], "01234567", NASTY.encode().hex()[:20]):
        assert re.fullmatch(
            r"got: \[secret:\w{6}\]\.\.\. \(99 characters\)", known.mask_text(f"got: {rest}... (99 characters)")
        )
        assert known.mask_text(f"got: {rest}, and more") == f"got: {rest}, and more"
    assert re.fullmatch(r"near '\[secret:\w{6}\]' at line 1", known.mask_message(f"near '{NASTY[:14]}' at line 1"))
    assert re.fullmatch(r"near \[secret:\w{6}\]", known.mask_message(f"near {NASTY[:-1]}"))
    for harmless in ("near '0123' at line 1", f"{NASTY[:9]} is the beginning", "nothing"):
        assert known.mask_message(harmless) == harmless


def test_a_rest_is_of_the_secret_that_it_goes_on_with_where_many_begin_alike() -> None:
    masker = Masker(b"key")
    secrets = [f"https://user:{word * 4}@shop.example/{word}" for word in ("alpha", "bravo&", "char'lie")]
    for secret in secrets:
        assert masker.add(secret)
    for secret in secrets:
        whole = masker.mask_text(secret)
        cut = masker.mask_message(f"https://docs.example/ says no to '{secret[:30]}' and \"{secret[:25]}...\"")
        assert cut == f"https://docs.example/ says no to '{whole}' and \"{whole}...\""


def test_a_pattern_that_cannot_be_used_finds_nothing() -> None:
    assert automaton((), ["("]).search(b"a text (with one)") is None
