"""Masking: no secret shows itself in any of its forms."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from domain.masking import Masker

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
    mask = masker("1")
    assert mask.refused == ["1"]
    assert mask.mask_text("11") == "11"


def test_headers_with_credentials_are_masked_by_name():
    assert masker().mask_headers({"Authorization": "Bearer x", "Accept": "*/*"}) == {
        "Authorization": "[masked]",
        "Accept": "*/*",
    }
