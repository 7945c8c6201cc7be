"""The project that a command line works in: testmesh.yaml, its folder, and paths below it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from application.documents.discovery import FlowFile, flow_files
from application.variables import Project, read_project

PROJECT_FILE = "testmesh.yaml"


def find_project(paths: Sequence[str] = ()) -> tuple[Project, Path]:
    """The project file and its folder: the nearest in the working folder or above it, else in or above the first of the
    paths that is there. An empty project in the working folder without one."""
    first = next((Path(path) for path in paths if Path(path).exists()), None)
    for folder in (Path.cwd(), *([first.resolve()] if first is not None else [])):
        for place in (folder, *folder.parents):
            path = place / PROJECT_FILE
            if path.is_file():
                return read_project(path.read_bytes(), file=str(path)), place
    return Project(), Path.cwd()


def meant_files(paths: Sequence[str]) -> tuple[FlowFile, ...]:
    """The flow files that a command line means: without paths those of testmesh.yaml, or of the working folder."""
    project, home = find_project(paths)
    return flow_files(list(paths) or [str(home / path) for path in project.flows] or ["."], Path.cwd())


def secret_names(paths: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """The variables whose values are masked: those given, and those that testmesh.yaml names."""
    return tuple(dict.fromkeys((*given, *find_project(paths)[0].secrets)))


def in_project(file: str, home: Path) -> str:
    """A file's path in its project, with forward slashes; its name alone when it lies elsewhere."""
    path = Path(file).resolve()
    return path.relative_to(home.resolve()).as_posix() if path.is_relative_to(home.resolve()) else path.name
