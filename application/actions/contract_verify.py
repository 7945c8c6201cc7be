"""The action `contract_verify`: whether a provider answers as a Pact contract says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from application.actions.http_request import exchange, read_seconds, within
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key

if TYPE_CHECKING:
    from application.actions.pact_body import Mismatch
    from application.actions.pact_contract import Contract, Interaction, Request, State

_SECONDS = 30.0
_FAILURES = 200
_LONGEST = 1_000
_PASSED_ON = ("auth", "verify_ssl", "cert")
_DROPPED = ("content-length", "transfer-encoding", "connection", "host", "upgrade", "proxy-authorization")


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Send every chosen interaction; ActionFailed lists each place where the provider differs from the contract."""
    from application.actions.pact_contract import read_contract, read_interaction

    contract = read_contract(_contract(config, context))
    chosen = [read_interaction(item) for item in _chosen(contract, config)]
    verifying = _Verifying(config, context, contract)
    failures: list[dict[str, Any]] = []
    broken = []
    for interaction in chosen:
        mismatches = await verifying.mismatches(interaction)
        failures.extend(_failure(interaction, mismatch) for mismatch in mismatches)
        if mismatches and not interaction.pending:
            broken.append(interaction)
    result = {
        "verified": not broken,
        "count": len(chosen),
        "failures": failures[:_FAILURES],
        "consumer": contract.consumer,
        "provider": contract.provider,
    }
    if broken:
        title = f"{contract.provider} breaks {len(broken)} of {len(chosen)} interactions that {contract.consumer} needs"
        raise ActionFailed("\n".join([title, *_lines(failures)]), result=result)
    return result


class _Verifying:
    """Sends requests to the provider and looks at its answers."""

    def __init__(self, config: Mapping[str, Any], context: ActionContext, contract: Contract) -> None:
        self._config, self._context, self._contract = config, context, contract
        self._seconds = read_seconds(config.get("timeout"), _SECONDS)
        self._base = _url(config, "provider_base_url", required=True).rstrip("/")
        self._states = _url(config, "provider_states_url")
        headers = config.get("headers") or {}
        if not isinstance(headers, Mapping):
            raise ActionError("config", "headers must be an object of names and values")
        self._headers: Mapping[str, Any] = headers

    async def mismatches(self, interaction: Interaction) -> list[Mismatch]:
        """Where the answer differs from the contract, once the provider is in its states."""
        import asyncio  # loaded when first used: validating needs none

        from application.actions.pact_answers import answer_mismatches

        begun: list[State] = []
        try:
            answered = await self._set_up(interaction.states, begun)
            result = await self._asked(self._request(interaction, answered))
        except ActionError as error:
            raise ActionError(error.kind, f"{interaction.title}: {error.message}", hint=error.hint) from None
        finally:
            await self._tear_down(begun, interaction)
        # A large body and many rules take their time: heartbeats and other steps go on meanwhile.
        return await asyncio.to_thread(answer_mismatches, interaction.response, result)

    async def _set_up(self, states: Sequence[State], begun: list[State]) -> dict[str, Any]:
        """Bring the provider into the states; the values that it answers, by name."""
        answered: dict[str, Any] = {}
        for state in states:
            if not self._states:
                self._context.log("info", f"the state {state.name!r} is taken as given: there is no provider_states_url")
                continue
            begun.append(state)
            result = await self._told(state, "setup")
            if not 200 <= result["status"] < 300:
                message = f"the provider could not set up the state {state.name!r}: status {result['status']}"
                raise ActionError("provider_state", message, hint="provider_states_url must know every state of the contract")
            answered |= {**state.params, **(result["body"] if isinstance(result["body"], Mapping) else {})}
        return answered

    async def _tear_down(self, begun: Sequence[State], interaction: Interaction) -> None:
        """Let the provider clear the states away, the last first; one that it does not is a warning."""
        if self._config.get("provider_states_teardown") not in (True, "true"):
            return
        for state in reversed(begun):
            try:
                status = (await self._told(state, "teardown"))["status"]
                why = "" if 200 <= status < 300 else f"status {status}"
            except ActionError as error:
                why = error.message
            if why:
                said = f"{interaction.title}: the provider did not tear down the state {state.name!r}: {why}"
                self._context.log("warning", said)

    async def _told(self, state: State, action: str) -> Mapping[str, Any]:
        asked = {"consumer": self._contract.consumer, "state": state.name, "params": dict(state.params), "action": action}
        return await self._asked({"method": "POST", "url": self._states, "json": asked, "headers": dict(self._headers)})

    def _made(self, interaction: Interaction, answered: Mapping[str, Any]) -> Request:
        """The request with what its generators make, from the seed and the clock of the execution."""
        if not interaction.generators:
            return interaction.request
        from random import Random

        from application.actions.pact_generators import Sources, applied
        from domain.expressions.times import parse_time

        now, seed = parse_time(str(self._context.evaluate("ISO_TIMESTAMP", {}))), self._context.evaluate("UUID", {})
        assert now is not None

        def kept(why: str) -> None:
            self._context.log("warning", f"{interaction.title}: {why}")

        return applied(interaction.request, interaction.generators, Sources(Random(str(seed)), now, answered, kept))

    def _request(self, interaction: Interaction, answered: Mapping[str, Any]) -> dict[str, Any]:
        from urllib.parse import quote

        from application.actions.pact_contract import values_of

        request = self._made(interaction, answered)
        given = {str(name).lower() for name in self._headers}
        headers: dict[str, Any] = {
            name: ", ".join(values)
            for name, values in request.headers.items()
            if name.lower() not in _DROPPED and name.lower() not in given
        }
        if request.body.content_type and values_of(request.headers, "content-type") is None:
            headers["Content-Type"] = request.body.content_type
        url = self._base + quote(request.path, safe="/%:@!$&'()*+,;=-._~")
        asked = {"method": request.method, "url": url, "params": dict(request.query), "headers": {**headers, **self._headers}}
        return {**asked, **_sent(request), "follow_redirects": False}

    async def _asked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        from application.actions.http_answer import result_of

        passed_on = {name: self._config[name] for name in _PASSED_ON if self._config.get(name) is not None}
        answer = await within(self._seconds, exchange({**request, **passed_on}, self._context), self._context)
        return result_of(answer, self._context)


def _sent(request: Request) -> dict[str, Any]:
    """The body of the request, as http_request takes it."""
    import json

    body = request.body
    if body.kind == "binary":
        raise ActionError("config", "requests with bodies that are not text are not supported")
    if body.kind == "json":
        return {"body": json.dumps(body.value, ensure_ascii=False)}
    return {"body": body.value} if body.kind == "text" and body.value else {}


def _contract(config: Mapping[str, Any], context: ActionContext) -> Any:
    from application.actions.json_values import depth_of
    from application.actions.project_files import parse_json, read_data

    given = [key for key in ("contract", "contract_file") if config.get(key) is not None]
    if len(given) != 1:
        raise ActionError("config", "give one of contract and contract_file")
    value = config[given[0]]
    if given[0] == "contract_file":
        return read_data("contract_file", value, context)
    if isinstance(value, str):
        return parse_json(value, "contract", context.limits)
    if depth_of(value, context.limits.json_depth) > context.limits.json_depth:
        raise ActionError("limit", f"the contract is nested more than {context.limits.json_depth} deep")
    return value


def _chosen(contract: Contract, config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The interactions with one of the descriptions and one of the states; to choose none is an error."""
    from domain.expressions.errors import did_you_mean

    everything = list(contract.interactions())
    descriptions, states = _texts(config, "description"), _texts(config, "state")
    known = {
        "description": [description for description, _, _ in everything],
        "state": [state.name for _, given, _ in everything for state in given],
    }
    for key, texts in (("description", descriptions), ("state", states)):
        for text in texts or ():
            if text not in known[key]:
                hint = did_you_mean(text, known[key]) or f"there is: {'; '.join(dict.fromkeys(known[key]))[:300] or 'none'}"
                raise ActionError("config", f"no interaction has the {key} {text[:80]!r}", hint=hint)
    chosen = [
        item
        for description, given, item in everything
        if (descriptions is None or description in descriptions)
        and (states is None or any(state.name in states for state in given))
    ]
    if not chosen:
        raise ActionError("config", "no interaction has both the description and the state")
    return chosen


def _texts(config: Mapping[str, Any], key: str) -> list[str] | None:
    value = config.get(key)
    if value is None:
        return None
    texts = value if isinstance(value, list | tuple) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ActionError("config", f"{key} must be a text or a list of texts")
    return list(texts)


def _url(config: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    value = config.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not value.startswith(("http://", "https://")) or (required and "?" in value):
        raise ActionError("config", f"{key} must begin with http:// or https://{' and have no query' if required else ''}")
    return value


def _failure(interaction: Interaction, mismatch: Mismatch) -> dict[str, Any]:
    return {
        "interaction": interaction.title,
        "place": mismatch.place,
        "expected": _short(mismatch.expected),
        "actual": _short(mismatch.actual),
        "message": mismatch.message,
        **({"pending": True} if interaction.pending else {}),
    }


def _short(value: Any) -> Any:
    """The value, or the beginning of its JSON where it is long."""
    import json

    text = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _lines(failures: list[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for title in dict.fromkeys(failure["interaction"] for failure in failures if not failure.get("pending")):
        lines.append(f"- {title}")
        own = (failure for failure in failures if failure["interaction"] == title)
        lines.extend(f"    {failure['place']}: {failure['message']}" for failure in own)
    return lines


CONTRACT_VERIFY = Action(
    name="contract_verify",
    description="Sends the requests of a Pact contract (version 2, 3 or 4) to a provider and compares its answers by the"
    " contract's matching rules. A difference fails the step. Patterns are RE2. Messages and plugins are refused."
    " Generators of requests are applied, but for Regex.",
    keys={
        "contract": Key(("object", "string"), one_of="contract", description="The contract, or its JSON text."),
        "contract_file": Key(
            ("string",), one_of="contract", names="file", description="A JSON file below the project's folder."
        ),
        "provider_base_url": Key(("string",), required=True, description="What the paths of the contract are added to."),
        "provider_states_url": Key(
            ("string",),
            description="Gets a POST of {consumer, state, params, action: setup} for each provider state, before the request;"
            " an answer that is not 2xx is an error. Without it states are taken as given. Values of a JSON answer are known to"
            " generators of the type ProviderState.",
        ),
        "provider_states_teardown": Key(
            ("boolean",), description="Whether action: teardown is sent for each state after its request; false by default."
        ),
        "headers": Key(("object",), description="Sent with every request; they replace those of the contract."),
        "auth": Key(("object",), description="As in http_request."),
        "description": Key(("string", "array"), description="Only interactions with this description, or one of them."),
        "state": Key(("string", "array"), description="Only interactions with this provider state, or one of them."),
        "timeout": Key(("duration",), description="For each request; 30s by default."),
        "verify_ssl": Key(("boolean",), description="True by default."),
        "cert": Key(("string", "object"), description="As in http_request."),
    },
    run=run,
    result={
        "verified": "Whether every interaction holds; false fails the step.",
        "count": "How many interactions were sent.",
        "failures": "interaction, place (status, header NAME, body PATH), expected, actual and message of each difference;"
        " pending where the interaction may fail.",
        "consumer": "Who needs the provider.",
        "provider": "The provider.",
    },
)
