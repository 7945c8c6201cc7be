"""Files of an import: where each flow goes, never outside of the folder, never over a file unless that is wished."""

from __future__ import annotations

import os
from pathlib import Path

from application.importing.model import Draft, Imported
from application.importing.text import file_slug
from application.importing.writing import write_flow
from domain.errors import Conflict, Invalid, LimitExceeded
from domain.limits import LIMITS

_SUFFIXES = (".yaml", ".yml")


def write_all(found: Imported, output: Path, force: bool) -> list[tuple[Path, int]]:
    """The files written, with their steps. `output` is a file when it ends in .yaml or .yml, else a folder.

    A draft that cannot be a flow is left out and told. Conflict, before anything is written, when a file exists.
    """
    if len(found.drafts) > LIMITS.import_files:
        raise LimitExceeded(f"there would be {len(found.drafts)} files; at most {LIMITS.import_files} are written")
    texts: dict[Path, tuple[str, int]] = {}
    for draft in found.drafts:
        try:
            text = write_flow(draft)
        except Invalid as error:
            found.left_out["flows that could not be written"] += 1
            found.warn(f"{error.message}; {error.remedy}" if error.remedy else error.message)
            continue
        texts[_place(draft, found, output, texts)] = (text, len(draft.calls))
    home = output.parent if output.suffix.lower() in _SUFFIXES and not output.is_dir() else output
    for path in texts:
        if not path.parent.resolve().is_relative_to(home.resolve()):
            raise Invalid(f"{path.parent} leads out of {home}", remedy="remove the link, or use -o for another place")
    existing = [str(path) for path in texts if path.exists() or path.is_symlink()]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise Conflict(f"{existing[0]}{more} exists already", remedy="use --force to replace, or -o for another place")
    for path, (text, _) in texts.items():
        _put(path, text)
    return [(path, steps) for path, (_, steps) in texts.items()]


def _place(draft: Draft, found: Imported, output: Path, taken: dict[Path, tuple[str, int]]) -> Path:
    if output.suffix.lower() in _SUFFIXES and not output.is_dir():
        if len(found.drafts) > 1:
            raise Invalid(f"there are {len(found.drafts)} flows; {output} is one file", remedy="give a folder with -o")
        return output
    folder = output.joinpath(*draft.folder)
    name = file_slug(draft.file or draft.name)
    number, path = 1, folder / f"{name}.yaml"
    while path in taken:
        number += 1
        path = folder / f"{name}-{number}.yaml"
    return path


def _put(path: Path, text: str) -> None:
    """Write beside and replace, so that a symbolic link is replaced and never followed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise Invalid(f"{path} cannot be written: {error.strerror}") from None
