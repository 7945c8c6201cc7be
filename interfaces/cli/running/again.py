"""The command that runs a flow again: the same seed, variables and environment, without what must not be shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from interfaces.cli.reports.model import Execution

_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def again_command(execution: Execution, options: Sequence[str] = ()) -> str:
    """The command line. `options` are those of the run (see repeated)."""
    file = "-" if execution.file == "<stdin>" else execution.file
    row, crossed = _row_and_cell(execution.case.partition("#")[0], options)
    case = ["--case", row] if row else []
    matrix = [word for assignment in crossed for word in ("--matrix", assignment)]
    return shlex.join(["testmesh", "run", *_without_matrix(options), *matrix, *case, "--seed", execution.seed, file])


def _row_and_cell(label: str, options: Sequence[str]) -> tuple[str, list[str]]:
    """The key of the row, and the cell of the matrix that the options cross, from what a case is called."""
    names = sorted(option.partition("=")[0] for word, option in pairwise(options) if word == "--matrix")
    if not names:
        return label, []
    row, _, cell = f" {label}".rpartition(f" {names[0]}=")
    return row.strip(), re.split(rf",(?=(?:{'|'.join(map(re.escape, names))})=)", f"{names[0]}={cell}")


def _without_matrix(options: Sequence[str]) -> list[str]:
    return [word for before, word in pairwise(["", *options]) if "--matrix" not in (before, word)]


def repeated(options: Mapping[str, Any]) -> list[str]:
    """The options of a run that matter to one flow of it, such as `-e stage --var user=ada`. Values of secrets, and
    those whose name or form says that they are one, are masked."""
    return ["--remote"] * bool(options.get("remote")) + list(_words(options))


def _words(options: Mapping[str, Any]) -> Iterator[str]:
    for name, option in (("environment", "-e"), ("url", "--url")):
        if options.get(name):
            yield from (option, str(options[name]))
    for path in options.get("env_files") or ():
        yield from ("--env-file", str(path))
    for path in options.get("var_files") or ():
        yield from ("--var-file", str(path))
    if options.get("data"):
        yield from ("--data", str(options["data"]))
    for assignment in options.get("matrix") or ():
        yield from ("--matrix", str(assignment))
    secret = tuple(options.get("secrets") or ())
    for name in secret:
        yield from ("--secret", name)
    for assignment in options.get("variables") or ():
        yield from ("--var", _shown(assignment, options.get("secret_names") or secret))


def _shown(assignment: str, secret: Sequence[str]) -> str:
    from domain.masking import MASKED

    name, _, value = assignment.partition("=")
    return f"{name}={MASKED if name.strip() in secret else without_secrets(name, value)}"


def without_secrets(name: str, value: Any) -> Any:
    """The value of a variable for people: masked when its name says that it is a secret, as are credentials in URLs."""
    from domain.masking import MASKED, Masker

    if not isinstance(value, str | list | dict | bool | None):
        masked = without_secrets(name, str(value))
        return value if masked == str(value) else masked
    shown = Masker(b"").mask({name: value}, sensitive_keys=True)[name]
    return _USERINFO.sub(MASKED, shown) if isinstance(shown, str) else shown
