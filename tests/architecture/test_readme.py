"""What the README shows is true: its flow is valid, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from application.actions.registry import ACTIONS
from application.flow_documents import read_flow
from interfaces.cli.main import VERBS

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_flow_in_the_readme_is_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        assert read_flow(block, file="README.md", actions=ACTIONS, known_variables={"users_url", "database_url"})[1] == ()


def test_its_commands_exist() -> None:
    verbs = set(re.findall(r"testmesh ([a-z]+)", README))
    assert verbs
    assert verbs <= set(VERBS)


def test_every_action_that_it_names_is_there() -> None:
    line = re.search(r"Actions in this version: (.*?)\nExit codes", README, re.DOTALL)
    assert line is not None
    named = set(re.findall(r"`([a-z_.|]+)`", line[1]))
    named = (named - {"redis.get|set|del|exists|command"}) | {
        f"redis.{verb}" for verb in ("get", "set", "del", "exists", "command")
    }
    assert named == {action.name for action in ACTIONS.values()}
