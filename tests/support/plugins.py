"""Packages with actions: the one that the documentation shows, built and installed, and small ones as pip leaves them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.documentation import DOCS, blocks

PAGE = DOCS / "plugins.md"


def install_documented(folder: Path, target: Path) -> None:
    """Build what the page shows below `folder`, and install its wheel into `target` as PEP 427 says: an environment that uv has
    made has no pip."""
    folder.mkdir(parents=True)
    for block in blocks(PAGE):
        if "file" in block.options:
            (folder / block.file).write_text(block.text)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)


def documented_flow() -> str:
    """The flow of the page."""
    return next(block.text for block in blocks(PAGE) if block.options.get("needs") == "acme-lines")


def leave_installed(target: Path, name: str, code: str, **points: str) -> None:
    """A package of one module, as if pip had installed it; `points` are its actions with `__` for a dot."""
    module = name.replace("-", "_")
    (target / f"{module}.py").write_text(code)
    info = target / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{point.replace('__', '.')} = {module}:{attribute}" for point, attribute in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[testmesh.actions]", *lines, ""]))
