"""`python -m interfaces.reference FOLDER` writes the generated pages of the documentation."""

from __future__ import annotations

import sys
from pathlib import Path

from interfaces.reference import write


def main(arguments: list[str]) -> None:
    """Write the pages into the folder that is named, `docs` without a name; say which of them changed."""
    folder = Path(arguments[0] if arguments else "docs")
    changed = write(folder)
    sys.stdout.writelines(f"changed: {folder / path}\n" for path in changed)
    if not changed:
        sys.stdout.write("every page is up to date\n")


if __name__ == "__main__":
    main(sys.argv[1:])
