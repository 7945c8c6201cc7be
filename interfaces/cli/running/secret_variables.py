"""Secret variables that cannot be kept secret are refused before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from application.variables import parse_env_file
from domain.errors import Invalid
from domain.limits import LIMITS

if TYPE_CHECKING:
    from interfaces.cli.planning.plan import Planned


def refuse_secrets(flows: Sequence[Planned], names: Collection[str], *, remote: bool = False) -> None:
    """Invalid for a value that is too short to be masked, and with `remote` for any: a server records variables as they are.
    Values in rows of data count as well."""
    for flow in flows if names else ():
        for given in _given(flow):
            for name in names:
                _check(name, given.get(name), remote)


def refuse_secret_files(flows: Sequence[Planned], names: Collection[str]) -> None:
    """Invalid for a value in a file of variables that would be pushed with its flow: workers do not know what is secret."""
    for flow in flows if names else ():
        for text in flow.definition.env_file:
            values = parse_env_file((Path(flow.file).parent / text).read_bytes(), file=text)
            for name in names:
                if values.get(name):
                    title = f"{name} is secret, and runs of a pushed flow show variables as they are; {flow.file} names {text}"
                    raise Invalid(title, remedy="take it out of that file")


def _given(flow: Planned) -> Iterator[Mapping[str, Any]]:
    yield flow.variables
    for case in flow.cases or ():
        yield case.values


def _check(name: str, value: Any, remote: bool) -> None:
    if value is None or value == "":
        return
    if remote:
        title = f"{name} is secret, and variables of a remote run are recorded as they are"
        raise Invalid(title, remedy="leave it out, or run without --remote")
    if len(str(value).strip()) < LIMITS.secret_min_chars:
        least = LIMITS.secret_min_chars
        title = f"{name} has fewer than {least} characters, and so short a secret cannot be masked"
        raise Invalid(title, remedy="give a longer value, or do not call it a secret")
