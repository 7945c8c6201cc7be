"""Actions of installed packages: found when they are needed, refused with one clear line when they are wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from application.actions.registry import TABLE, Actions
from application.engine.errors import ActionUnusable
from application.flow_documents import read_flow
from domain.errors import InvalidFlow
from tests.support.documentation import ROOT
from tests.support.plugins import leave_installed

GOOD = """
from application.engine.action import Action, Key

async def run(config, context):
    return {"said": config.get("word")}

SAY = Action(name="NAME", keys={"word": Key(("string",))}, run=run, result={"said": "The word."})
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def said(site: Path, action: str) -> str:
    """What the flow's only error says."""
    text = f"flow:\n  name: A\n  steps:\n    - action: {action}\n      config: {{word: x}}\n"
    with pytest.raises(InvalidFlow) as refused:
        read_flow(text, file="a.yaml", actions=Actions(TABLE))
    (problem,) = refused.value.problems
    assert (problem.line, problem.file) == (4, "a.yaml")
    return f"{problem.title}; {problem.remedy}"


def test_an_action_of_a_package_is_found_by_its_name(site: Path) -> None:
    leave_installed(site, "talk-one", GOOD.replace("NAME", "talk.say"), talk__say="SAY")
    actions = Actions(TABLE)

    assert actions["talk.say"].keys.keys() == {"word"}
    assert "talk.say" in actions
    assert "talk.say" in list(actions)
    assert "talk.no" not in actions
    assert actions.get("talk.no") is None


def test_two_packages_with_one_name_are_refused_with_both(site: Path) -> None:
    for name in ("talk-one", "talk-two"):
        leave_installed(site, name, GOOD.replace("NAME", "talk.say"), talk__say="SAY")

    assert 'The action "talk.say" comes from talk-one 1.0 and talk-two 1.0; uninstall one of them' in said(site, "talk.say")


@pytest.mark.parametrize("taken", ["http_request", "http", "mysql.backup"])
def test_the_name_of_a_built_in_action_cannot_be_taken(site: Path, taken: str) -> None:
    leave_installed(site, "thief", GOOD.replace("NAME", taken), **{taken.replace(".", "__"): "SAY"})
    actions = Actions(TABLE)

    usable, wrong = actions.usable()

    assert [fault.message for fault in wrong] == [f'The action "{taken}" comes from TestMesh itself and thief 1.0']
    assert usable.keys() == set(actions)
    assert "application.actions." in actions["http_request"].run.__module__


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import nothing_of_this_name", "cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("raise SystemExit(4)", "cannot be loaded: SystemExit: 4"),
        ("SAY = 3", "is int, not an Action"),
        ("raise SystemError('a\\nb')", "cannot be loaded: SystemError: a b"),
        (GOOD.replace("NAME", "talk.other"), "calls itself talk.other"),
        (GOOD.replace("NAME", "talk.say").replace('"string"', '"text"'), "gives its key word the type text"),
        (
            GOOD.replace("NAME", "talk.say").replace('Key(("string",))', '"string"'),
            "declares its key word as str, not as a Key",
        ),
        (GOOD.replace("NAME", "talk.say").replace("run=run", "run=None"), "has a run that cannot be called"),
        (GOOD.replace("NAME", "talk.say").replace("run=run", "run=run, unresolved=('x',)"), "speaks of x, which is none"),
        (
            GOOD.replace("NAME", "talk.long").replace("run=run", "run=run, aliases=('talk.say',)"),
            "no entry point with the action",
        ),
        ("", "cannot be loaded: AttributeError"),
    ],
)
def test_a_broken_package_is_one_line_that_names_it(site: Path, code: str, why: str) -> None:
    leave_installed(site, "talk-one", code, talk__say="SAY")

    message = said(site, "talk.say")

    assert message.startswith('The action "talk.say" of talk-one 1.0 (talk_one:SAY) ')
    assert why in message
    assert "\n" not in message


def test_a_broken_package_leaves_the_others_usable(site: Path) -> None:
    leave_installed(site, "talk-one", GOOD.replace("NAME", "talk.say"), talk__say="SAY")
    leave_installed(site, "talk-two", "1 / 0", talk__shout="SAY")

    usable, (fault,) = Actions(TABLE).usable()

    assert "talk.say" in usable
    assert "talk-two 1.0" in fault.message
    with pytest.raises(ActionUnusable, match="ZeroDivisionError"):
        Actions(TABLE)["talk.shout"]


def test_a_flow_of_built_in_actions_looks_for_no_packages(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "flow:\n  name: A\n  steps:\n    - {action: mysql.fetch, config: {connection: x, query: y}}\n"
    )
    code = (
        "import sys; from interfaces.cli.main import run; run(['validate', 'a.yaml']);"
        "sys.exit('importlib.metadata' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=False)

    assert done.returncode == 0
