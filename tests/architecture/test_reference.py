"""The generated pages are what the code says today, and every action has an example flow."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from application.actions.registry import all_actions
from domain.limits import LIMITS, MEANINGS
from interfaces.reference import stale
from interfaces.reference.actions import extras_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_every_generated_page_is_up_to_date() -> None:
    assert stale(DOCS) == [], "these pages of docs/ differ from the code: run ops/docs and commit what it writes"


@pytest.mark.parametrize("name", [action.name for action in all_actions()])
def test_an_action_has_an_example(name: str) -> None:
    place = DOCS / "examples" / f"{name}.yaml"
    assert place.is_file(), f"the action {name} has no example: write a flow that uses it as docs/examples/{place.name}"
    assert f"action: {name}\n" in place.read_text(), f"docs/examples/{place.name} does not use the action {name} by its name"


def test_every_key_and_result_field_is_described() -> None:
    keys = [f"{action.name}.{name}" for action in all_actions() for name, text in action.result.items() if not text]
    assert keys == []


def test_extras_that_pages_name_can_be_installed() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for action in all_actions() for extra in extras_of(action)}
    assert {"kafka", "grpc", "http2"} <= named <= known.keys()


def test_every_limit_has_its_meaning() -> None:
    assert {one.name for one in fields(LIMITS)} == MEANINGS.keys()
