"""Whatever was imported says in a flow exactly what it said before."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from application.documents.reader import read
from application.importing.model import Body, Call, Draft
from application.importing.text import clean, compose, file_slug, quoted, refer, rendered, slug
from application.importing.writing import write_flow
from domain.expressions import Scope, evaluate, render

TEXTS = st.text("ab ${}'\"\\\n\t:#-é\x85\u2028\ufeff\x00\ud800", max_size=20) | st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc $\n:#1", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(TEXTS)
def test_a_literal_text_renders_to_itself(text: str) -> None:
    assert render(rendered(text), Scope({})) == clean(text)
    assert evaluate(quoted(text), Scope({})) == clean(text)


@given(st.lists(TEXTS, max_size=4))
def test_texts_around_references_stay(texts: list[str]) -> None:
    parts: list[str] = []
    for text in texts:
        parts += [text, refer("x")]
    assert (
        render(rendered(compose([*parts, "end"])), Scope({"x": "<x>"}))
        == "".join(clean(text) + "<x>" for text in texts) + "end"
    )


@given(TEXTS)
def test_names_of_files_and_steps_lead_nowhere(text: str) -> None:
    for name in (slug(text), file_slug(text)):
        assert name.replace("-", "_").isidentifier()
        assert len(name) <= 70


@settings(deadline=None)
@given(VALUES, TEXTS)
def test_any_value_survives_writing(value: Any, text: str) -> None:
    draft = Draft(text or "x", comments=[text], given={"token": text})
    draft.calls = [Call("POST", "http://x/", name=text, body=Body("json", value), comments=[text])]
    written = write_flow(draft)
    config = read(written).value["flow"]["steps"][0]["config"]
    assert render(config["json"], Scope({})) == _clean(value)
    assert "json" in yaml.safe_load(written)["flow"]["steps"][0]["config"]


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return clean(value) if isinstance(value, str) else value
