"""The generator of the reference: what it makes of actions and commands that no page has seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from application.engine.action import Action, ActionContext, Key
from interfaces.reference import stale, write
from interfaces.reference.actions import extras_of, page_of
from interfaces.reference.markdown import prose, table


async def nothing(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    return {}


POUR = Action(
    "tea.pour",
    {
        "cup": Key(("string",), required=True, description="Which <cup>."),
        "tea": Key(("string", "object"), one_of="what", choices=("green", "black")),
        "coffee": Key(one_of="what", description="Needs the extra beans."),
        "until": Key(("expression",)),
    },
    nothing,
    aliases=("pour",),
    description="Pours. Needs the extra kettle.",
    unresolved=("until",),
    names={"until": ("level",)},
)


def test_a_page_shows_all_that_an_action_declares(tmp_path: Path) -> None:
    page = page_of(POUR, tmp_path / "tea.pour.yaml")
    assert "| `cup` | string | required | Which \\<cup>. |" in page
    assert "| `tea` | string or object | this or `coffee` | One of: `green`, `black`. |" in page
    assert "| `until` | by the action, while it works | `level` |" in page
    assert "Aliases: `pour`." in page
    assert "## Example" not in page


def test_an_example_is_shown_when_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "tea.pour.yaml").write_text("flow: {}\n")
    assert "## Example\n\n```yaml\nflow: {}\n```" in page_of(POUR, tmp_path / "tea.pour.yaml")


def test_an_extra_is_told_with_the_key_that_needs_it() -> None:
    assert extras_of(POUR) == {"kettle": "", "beans": "coffee"}


def test_text_cannot_break_a_table_or_hide() -> None:
    assert table(("a",), [("x | y\nz",)]).splitlines()[-1] == "| x \\| y z |"
    assert prose("<b> and `<c>`") == "\\<b> and `<c>`"


def test_pages_are_written_once_and_those_of_actions_that_are_gone_are_removed(tmp_path: Path) -> None:
    assert "actions/log.md" in write(tmp_path)
    (tmp_path / "actions" / "gone.md").write_text("an action of the past\n")
    assert stale(tmp_path) == ["actions/gone.md"]
    assert write(tmp_path) == ["actions/gone.md"]
    assert write(tmp_path) == []
