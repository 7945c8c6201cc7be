"""Every flow that the documentation shows is valid, and ends as it says when it is run against real targets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import orjson
import pytest

from application.actions.registry import ACTIONS
from application.flow_documents import read_flow
from application.variables import read_project
from domain.errors import InvalidFlow
from tests.docs.conftest import TARGETS
from tests.support.documentation import DOCS, Block, all_blocks, as_flow, variables_of

BLOCKS = [block for block in all_blocks("yaml") if "needs" not in block.options]
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))
RUN = [block for block in BLOCKS if block.runs and "actions" not in block.page.parts]
RUN_SECONDS = 180.0


def _place(item: Block | Path) -> str:
    return item.place if isinstance(item, Block) else item.name


@pytest.mark.parametrize("block", BLOCKS, ids=_place)
def test_a_block_is_valid(block: Block) -> None:
    if block.options.get("file") == "testmesh.yaml":
        read_project(block.text)
        return
    known = {"known_variables": TARGETS, "strict": True} if block.whole and "file" not in block.options else {}
    outcome = pytest.raises(InvalidFlow) if "invalid" in block.expected else nullcontext()
    with outcome:
        read_flow(block.text if block.whole else as_flow(block.text), file=block.place, actions=ACTIONS, **known)


@pytest.mark.parametrize("file", EXAMPLES, ids=_place)
def test_an_example_is_valid_and_reads_only_the_targets(file: Path) -> None:
    _, warnings = read_flow(file.read_bytes(), file=file.name, actions=ACTIONS, known_variables=TARGETS)
    assert [str(warning) for warning in warnings] == []


@pytest.fixture(scope="module")
def verdicts(targets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """How the executions of each file ended when all were run as a user runs them; files by their path in one project."""
    home = tmp_path_factory.mktemp("docs")
    (home / "testmesh.yaml").write_text("project: docs\n")
    shutil.copytree(DOCS / "examples", home / "examples")
    for block in (one for language in ("yaml", "csv", "json", "jsonl") for one in all_blocks(language)):
        if block in RUN or ("file" in block.options and block.options["file"] != "testmesh.yaml"):
            place = home / block.folder / block.file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text)
    report = home / "report.json"
    files = [f"examples/{file.name}" for file in EXAMPLES] + [f"{block.folder}/{block.file}" for block in RUN]
    command = [sys.executable, "-m", "interfaces.cli.main", "run", "-j", "4", "-q", f"--report=json={report}", *files]
    done = subprocess.run(
        [*command, *variables_of(targets)],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    found: defaultdict[str, set[str]] = defaultdict(set)
    executions: list[dict[str, Any]] = orjson.loads(report.read_bytes())["executions"]
    for execution in executions:
        found[execution["file"]].add(execution["verdict"])
    print(done.stdout)
    return found


@pytest.mark.servers
@pytest.mark.parametrize("block", RUN, ids=_place)
def test_a_flow_ends_as_the_page_says(block: Block, verdicts: dict[str, set[str]]) -> None:
    assert verdicts[f"{block.folder}/{block.file}"] == block.expected


@pytest.mark.servers
@pytest.mark.parametrize("file", EXAMPLES, ids=_place)
def test_an_example_passes(file: Path, verdicts: dict[str, set[str]], targets: dict[str, str]) -> None:
    if "${mysql_url}" in file.read_text() and "mysql_url" not in targets:
        pytest.skip("there is no MariaDB on this machine")
    assert verdicts[f"examples/{file.name}"] == {"passed"}
