"""Paths of a command line mean flow files."""

from pathlib import Path

import pytest

from application.flow_documents import flow_files
from domain.errors import NotFound

FLOW = "flow:\n  name: x\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "a.yaml": FLOW,
        "sub/b.yml": "name: x\nsteps: []\n",
        "sub/broken.yaml": 'flow:\n  name: {{x}} "\n',
        "sub/other.yaml": "services: {}\n",
        "sub/notes.txt": FLOW,
        ".hidden/c.yaml": FLOW,
        "node_modules/d.yaml": FLOW,
        "testmesh.yaml": "project: p\nflows: [.]\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def names(folder: Path, *paths: str) -> list[str]:
    return [found.file for found in flow_files(paths, folder)]


def test_a_folder_means_the_flows_below_it(folder: Path) -> None:
    assert names(folder, ".") == ["a.yaml", "sub/b.yml", "sub/broken.yaml"]


def test_a_glob_means_the_flows_that_match(folder: Path) -> None:
    assert names(folder, "**/*.yml") == ["sub/b.yml"]
    assert names(folder, "*.yaml") == ["a.yaml"]


def test_a_file_is_taken_as_it_is_named(folder: Path) -> None:
    assert names(folder, "sub/other.yaml", str(folder / "a.yaml")) == ["sub/other.yaml", "a.yaml"]


def test_a_line_picks_a_step(folder: Path) -> None:
    (found,) = flow_files(["a.yaml:12"], folder)
    assert (found.file, found.path, found.line) == ("a.yaml", folder / "a.yaml", 12)


def test_a_file_is_found_once(folder: Path) -> None:
    assert names(folder, "a.yaml", ".", "a.yaml") == ["a.yaml", "sub/b.yml", "sub/broken.yaml"]


def test_a_dash_means_standard_input(folder: Path) -> None:
    (found,) = flow_files(["-"], folder)
    assert (found.file, found.path) == ("<stdin>", None)


def test_a_missing_path_is_told_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(NotFound) as caught:
        flow_files(["sub/brokn.yaml"], folder)
    assert caught.value.remedy == 'did you mean "broken.yaml"?'
    with pytest.raises(NotFound):
        flow_files(["nothing/*.yaml"], folder)


def test_a_file_can_be_read(folder: Path) -> None:
    (found,) = flow_files(["a.yaml"], folder)
    assert found.read() == FLOW.encode()
