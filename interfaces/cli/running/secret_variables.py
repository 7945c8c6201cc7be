"""Secret variables: which values they mean, and a refusal before anything runs where those cannot be kept secret."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from application.documents.language import is_template
from application.variables import parse_env_file
from domain.errors import Invalid
from domain.limits import LIMITS
from domain.near_words import nearest

if TYPE_CHECKING:
    from interfaces.cli.planning.plan import Planned


def refuse_secrets(
    flows: Sequence[Planned], names: Collection[str], environ: Mapping[str, str] | None = None, *, remote: bool = False
) -> None:
    """Invalid for a value that is too short to be masked, and with `remote` for any: a server records variables as they are.
    Values in rows of data count as well, and in local runs those of the flow itself and of `environ`, the process."""
    for flow in flows if names else ():
        own = [] if remote else [_written(flow, names, environ or {})]
        for given in (*_given(flow), *own):
            for name in names:
                _check(name, given.get(name), remote)


def refuse_secret_names(variables: Mapping[str, Any], names: Collection[str]) -> None:
    """Invalid for a value of a secret variable among those that a server is given: it records variables as they are."""
    for name in names:
        _check(name, variables.get(name), True)


def refuse_secret_files(flows: Sequence[Planned], names: Collection[str]) -> None:
    """Invalid for a value in a file of variables that would be pushed with its flow: workers do not know what is secret."""
    for flow in flows if names else ():
        for text in flow.definition.env_file:
            values = parse_env_file((Path(flow.file).parent / text).read_bytes(), file=text)
            for name in names:
                if values.get(name):
                    title = f"{name} is secret, and runs of a pushed flow show variables as they are; {flow.file} names {text}"
                    raise Invalid(title, remedy="take it out of that file")


def written_secrets(flow: Planned, names: Collection[str], environ: Mapping[str, str]) -> frozenset[str]:
    """The values of secret variables that no option gives: those that stand in the flow, and those of the process."""
    return frozenset(str(value) for value in _written(flow, names, environ).values())


def doubtful_secrets(flows: Sequence[Planned], names: Collection[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Warnings about secret variables that no flow has, and about those whose value is only made while a flow runs."""
    for name in names:
        having = [flow for flow in flows if name in _names(flow) or name in environ]
        if not having:
            meant = nearest(name, {known for flow in flows for known in _names(flow)} | set(environ))
            remedy = f'did you mean "{meant}"?' if meant else "what a step makes is named in its secret_outputs"
            yield f"warning: no flow has the secret variable {name}, so that nothing is masked for it; {remedy}"
        for flow in having:
            value = flow.definition.env.get(name)
            if name not in flow.variables and name not in environ and isinstance(value, str) and is_template(value):
                yield (
                    f"warning: {flow.file}: the secret variable {name} is made when the flow runs, and is not masked; "
                    "give it with --var, or make it in a step with secret_outputs"
                )


def _names(flow: Planned) -> set[str]:
    columns = {name for case in islice(flow.cases or (), 1) for name in case.values}
    return {*flow.variables, *flow.definition.env, *flow.definition.inputs, *columns}


def _written(flow: Planned, names: Collection[str], environ: Mapping[str, str]) -> dict[str, Any]:
    own = {**environ, **flow.definition.inputs, **flow.definition.env}
    left = [name for name in names if name in own and name not in flow.variables]
    found = {name: own[name] for name in left if isinstance(own[name], str | int | float)}
    return {name: value for name, value in found.items() if not (isinstance(value, str) and is_template(value))}


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
