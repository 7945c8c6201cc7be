"""The action `contract_generate`: a Pact contract out of interactions, or of what HTTP steps sent and received."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext, ActionError, Key

_VERSIONS = {"3": 3, "3.0": 3, "3.0.0": 3, "4": 4, "4.0": 4}
_WRITTEN = {3: "3.0.0", 4: "4.0"}
_MOST = 1_000


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Make the contract, and write it where a file is named; secrets that are known by now do not stand in it."""
    from application.actions.pact_contract import read_contract, read_interaction
    from application.actions.project_files import write_json

    version = _VERSIONS.get(str(config.get("version", 3)))
    if version is None:
        raise ActionError("config", "version must be 3 or 4")
    interactions = _interactions(config, context, version)
    contract = {
        "consumer": {"name": _name(config, "consumer")},
        "provider": {"name": _name(config, "provider")},
        "interactions": interactions,
        "metadata": {"pactSpecification": {"version": _WRITTEN[version]}},
    }
    contract = context.mask(contract)
    for item in read_contract(contract).written:
        read_interaction(item)
    made = {"contract": contract, "count": len(interactions), "file": None}
    if config.get("output_file") is not None:
        made["file"] = write_json("output_file", config["output_file"], contract, context)
    return made


def _interactions(config: Mapping[str, Any], context: ActionContext, version: int) -> list[dict[str, Any]]:
    """Those that are given, then those of steps; each description and states once."""
    from application.actions.pact_writing import InteractionWriter

    writer = InteractionWriter(version)
    given = _given(config, context)
    if not given:
        raise ActionError("config", "give interactions, from_steps or both")
    if len(given) > _MOST:
        raise ActionError("limit", f"there are more than {_MOST:,} interactions")
    made = [_bounded(writer.write(item, place), place) for place, item in given]
    seen: list[tuple[str, Any]] = []
    for item in made:
        key = item["description"], item.get("providerStates")
        if key in seen:
            hint = "a contract tells them apart by description and states: give descriptions"
            raise ActionError("config", f"two interactions are called {item['description'][:80]!r}", hint=hint)
        seen.append(key)
    return made


def _bounded(item: dict[str, Any], place: str) -> dict[str, Any]:
    """Lists of lists of examples grow fast."""
    from domain.expressions.errors import Fault
    from domain.expressions.values import weigh

    try:
        weigh(item)
    except Fault as fault:
        raise ActionError("limit", f"{place}: {fault.message}", hint="lower min of eachLike") from None
    return item


def _given(config: Mapping[str, Any], context: ActionContext) -> list[tuple[str, Mapping[str, Any]]]:
    from application.actions.pact_recorded import recorded

    by_type = config.get("matching", "type")
    if by_type not in ("type", "exact"):
        raise ActionError("config", "matching must be type or exact")
    given = []
    for number, item in enumerate(_list(config, "interactions")):
        if not isinstance(item, Mapping):
            raise ActionError("config", f"interactions[{number}] must be an object")
        given.append((f"interactions[{number}]", item))
    headers = frozenset(str(name).lower() for name in _list(config, "headers"))
    for number, item in enumerate(_list(config, "from_steps")):
        given.append((f"from_steps[{number}]", recorded(item, context, headers, by_type=by_type == "type")))
    return given


def _list(config: Mapping[str, Any], key: str) -> list[Any]:
    value = config.get(key)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise ActionError("config", f"{key} must be a list")
    return list(value)


def _name(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    if not isinstance(value, str) or not value:
        raise ActionError("config", f"{key} must be the name of a service")
    return value


_INTERACTIONS = (
    "Each has description, given (or provider_states: names, or objects of name and params), request (method, path, query,"
    " headers, body) and response (status, headers, body); matching_rules of either are taken as the specification writes them."
    " In the place of any example may stand a matcher {match, value}: type (min, max), regex (regex), integer, decimal, number,"
    " boolean, null, equality, include, date, time and timestamp (format), and in bodies eachLike (min, max) and values;"
    " semver, notEmpty and statusCode (status) in version 4. An example must fit its matcher; equality keeps what is in it as"
    " it is."
)

CONTRACT_GENERATE = Action(
    name="contract_generate",
    description="Writes a Pact contract of what a consumer needs from a provider. Known secrets are masked in it.",
    keys={
        "consumer": Key(("string",), required=True, description="Who needs the provider."),
        "provider": Key(("string",), required=True, description="Who is needed."),
        "interactions": Key(("array",), one_of="interactions", description=_INTERACTIONS),
        "from_steps": Key(
            ("array",),
            one_of="interactions",
            description="Ids of http_request steps that have run, or objects of step, description and given: their last"
            " request and answer. Of headers, Content-Type and Accept are kept, and those named in headers.",
        ),
        "matching": Key(
            ("string",),
            choices=("type", "exact"),
            description="How bodies of answers of from_steps are matched; type by default.",
        ),
        "headers": Key(("array",), description="More headers to keep of from_steps; never those that carry credentials."),
        "version": Key(("integer", "string"), description="Of the Pact specification: 3 (default) or 4."),
        "output_file": Key(
            ("string",),
            writes=True,
            description="Where to write it: a .json file below the project's folder; on workers it is gone when the flow ends.",
        ),
    },
    run=run,
    result={
        "contract": "The contract.",
        "count": "How many interactions it has.",
        "file": "The file, below the project's folder; null when none is named.",
    },
)
