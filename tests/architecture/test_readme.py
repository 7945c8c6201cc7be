"""The README names every action. Its flow and its commands are tested with those of the documentation (tests/docs)."""

from __future__ import annotations

import re
from pathlib import Path

from application.actions.registry import ACTIONS

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_every_action_that_it_names_is_there() -> None:
    line = re.search(r"Actions in this version: (.*?)\nExit codes", README, re.DOTALL)
    assert line is not None
    named = set(re.findall(r"`([a-z_.|]+)`", line[1]))
    named = (named - {"redis.get|set|del|exists|command"}) | {
        f"redis.{verb}" for verb in ("get", "set", "del", "exists", "command")
    }
    assert named == {action.name for action in ACTIONS.values()}
