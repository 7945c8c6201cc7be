"""The actions `mock_server_start`, `_update`, `_reset_state` and `_stop`: HTTP servers that a flow starts for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from application.engine.action import Action, ActionContext, ActionError, Key
from domain.definition import Path as Place

if TYPE_CHECKING:
    from application.actions.mock_server_endpoints import Endpoint
    from application.actions.mock_server_running import MockServer

_PREFIX = "mock_server:"
_OWN_NAMES = ("request", "state")


async def start(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Listen, and answer with the endpoints; the names of the flow are those of this moment."""
    from application.actions.mock_server_running import MockServer

    name = _name(config)
    endpoints = _endpoints(config, context)
    owner = context.headers.get("X-TestMesh-Step", "")
    before = _servers(context).get(name)
    if before is not None and before.owner == owner:
        await _stop(before, context)  # the step is tried again
    elif before is not None:
        raise ActionError("config", f"a mock server {name!r} runs already", hint="mock_server_update changes it")
    if len(_servers(context)) >= context.limits.mock_servers:
        raise ActionError("config", f"an execution has at most {context.limits.mock_servers} mock servers")
    server = MockServer(name, owner, context, _state(config))
    server.reserve(_port(config))
    context.resources[_PREFIX + name] = server
    server.answers.put(endpoints, context.keep({**server.info(), "requests": server.records.requests}))
    await server.start()
    return {**server.info(), "endpoints": server.answers.endpoints, "requests": []}


async def update(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Change endpoints and state of a server that runs."""
    server = server_of(config, context)
    endpoints = _endpoints(config, context)
    if endpoints:
        server.answers.put(endpoints, context.keep({**server.info(), "requests": server.records.requests}))
    server.answers.state = {**server.answers.state, **_state(config)}
    tell(server, context)
    return {
        **server.info(),
        "endpoints": server.answers.endpoints,
        "state": dict(server.answers.state),
        "requests": _page(server),
    }


async def reset_state(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Begin anew: the state, and what was received, unless only one of them is asked for."""
    server = server_of(config, context)
    tell(server, context)
    if config.get("state", True):
        server.answers.reset()
    dropped = server.records.forget() if config.get("requests", True) else 0
    return {"name": server.name, "state": dict(server.answers.state), "dropped": dropped}


async def stop(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Stop listening. A server that does not run is told in a log line, so that teardown may always stop it."""
    name = _name(config)
    server = _servers(context).get(name)
    if server is None:
        context.log("warning", f"no mock server {name!r} runs, so that none was stopped")
        return {"name": name, "stopped": False, "count": 0, "requests": []}
    tell(server, context)
    await _stop(server, context)
    return {"name": server.name, "stopped": True, "count": server.records.count, "requests": _page(server)}


def server_of(config: Mapping[str, Any], context: ActionContext) -> MockServer:
    """The server that a step means. ActionError `config` when it does not run."""
    name = _name(config)
    servers = _servers(context)
    if name not in servers:
        running = f"running: {', '.join(sorted(servers))}" if servers else "mock_server_start starts one"
        raise ActionError("config", f"no mock server {name!r} runs in this execution", hint=running)
    return servers[name]


def tell(server: MockServer, context: ActionContext) -> None:
    """What went wrong since the last step that looked, as log lines."""
    for message in server.records.untold():
        context.log("error", f"mock server {server.name}: {message}")


async def _stop(server: MockServer, context: ActionContext) -> None:
    await server.close()
    context.resources.pop(_PREFIX + server.name, None)


def _servers(context: ActionContext) -> dict[str, MockServer]:
    return {key.removeprefix(_PREFIX): value for key, value in context.resources.items() if key.startswith(_PREFIX)}


def _name(config: Mapping[str, Any]) -> str:
    """The name, or that within a server_id, which ends with the port."""
    given = config.get("name")
    if given is None and config.get("server_id") is not None:
        given = str(config["server_id"]).rpartition("-")[0]
    name = "default" if given is None else str(given)
    if not name.strip() or len(name) > 100:
        raise ActionError("config", "the name of a mock server has 1 to 100 characters")
    return name


def _port(config: Mapping[str, Any]) -> int:
    value = config.get("port", 0)
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 6 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 65536:
        raise ActionError("config", "port must be a number from 0 to 65535; 0 takes a free one")
    return number


def _state(config: Mapping[str, Any]) -> dict[str, Any]:
    state = config.get("state")
    if state is not None and not isinstance(state, Mapping):
        raise ActionError("config", "state is an object of names and values")
    return dict(state or {})


def _endpoints(config: Mapping[str, Any], context: ActionContext) -> list[Endpoint]:
    from application.actions.mock_server_endpoints import read_endpoints

    given = [config[key] for key in ("endpoints", "routes") if config.get(key) is not None]
    if len(given) > 1:
        raise ActionError("config", "endpoints and routes are the same; keep one")
    return read_endpoints(given[0] if given else None, lambda value: context.render(value, {}), context.limits)


def _expressions(config: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    from application.actions.mock_server_endpoints import expressions_of

    for key in ("endpoints", "routes"):
        yield from (((key, *place), text) for place, text in expressions_of(config.get(key)))


def _faults(config: Mapping[str, Any]) -> Iterator[tuple[Place, str, str | None]]:
    from application.actions.mock_server_endpoints import faults_of

    for key in ("endpoints", "routes"):
        yield from (((key, *place), message, remedy) for place, message, remedy in faults_of(config.get(key)))


def _page(server: MockServer) -> list[dict[str, Any]]:
    return [dict(request) for request in server.records.requests[:200]]


_WHICH = {
    "name": Key(("string",), description="The server; `default` by default."),
    "server_id": Key(("string",), description="The server by its id."),
}
_ENDPOINTS = Key(
    ("array", "object"),
    description="Each has path (`/users/:id`, `/users/{id}`, `/files/*`), method (one, a list or ANY), match (an expression"
    " over `request`, or query, headers, body and expression), response (status, headers, body, json, text or base64, delay) or"
    " responses (one after the other, the last one stays), state (set, increment, append, remove: made before the response),"
    " when_state, times, priority (higher first), fault (reset, empty, hang, malformed, random_status, or an object with"
    " type, probability and statuses) and id. Templates are resolved when a request comes: they know `request` (method, path,"
    " params, query, headers, body), `state`, and the flow's names as they are now. An object is by `METHOD /path`.",
)
_INFO = {
    "base_url": "Where it is reached: http://127.0.0.1:40123.",
    "url": "The same as base_url.",
    "port": "The port on which it listens.",
    "server_id": "Name and port.",
    "name": "The server's name.",
    "endpoints": "METHOD and path of each, in the order in which they are asked.",
}

MOCK_SERVER_START = Action(
    name="mock_server_start",
    description="Starts an HTTP server (without TLS) that lives as long as the execution, and that its steps may reach.",
    keys={
        "name": Key(("string",), description="How other steps call it; `default` by default."),
        "port": Key(("integer",), description="0, a free one, by default."),
        "endpoints": _ENDPOINTS,
        "routes": Key(("array", "object"), description="The same as endpoints."),
        "state": Key(("object",), description="Names and values with which the state begins."),
    },
    run=start,
    result={**_INFO, "requests": "Empty; mock_server_verify and mock_server_stop give what came."},
    unresolved=("endpoints", "routes"),
    names={"endpoints": _OWN_NAMES, "routes": _OWN_NAMES},
    expressions=_expressions,
    faults=_faults,
)
MOCK_SERVER_UPDATE = Action(
    name="mock_server_update",
    aliases=("mock_server_configure",),
    description="Changes a mock server while it runs.",
    keys={
        **_WHICH,
        "endpoints": Key(
            ("array", "object"),
            description="As in mock_server_start. Each takes the place of those with its id, or its method and path; all come"
            " before the others of their priority.",
        ),
        "routes": Key(("array", "object"), description="The same as endpoints."),
        "state": Key(("object",), description="Names and values that are set."),
    },
    run=update,
    result={**_INFO, "state": "The state now.", "requests": "What was received, the first 200."},
    unresolved=("endpoints", "routes"),
    names={"endpoints": _OWN_NAMES, "routes": _OWN_NAMES},
    expressions=_expressions,
    faults=_faults,
)
MOCK_SERVER_RESET_STATE = Action(
    name="mock_server_reset_state",
    description="Makes a mock server forget: its state and sequences begin anew, recorded requests are dropped.",
    keys={
        **_WHICH,
        "state": Key(("boolean",), description="Whether the state begins anew; true by default."),
        "requests": Key(("boolean",), description="Whether recorded requests are dropped; true by default."),
    },
    run=reset_state,
    result={"name": "The server's name.", "state": "The state now.", "dropped": "How many requests were dropped."},
)
MOCK_SERVER_STOP = Action(
    name="mock_server_stop",
    description="Stops a mock server before the execution ends.",
    keys=_WHICH,
    run=stop,
    result={
        "name": "The server's name.",
        "stopped": "Whether it ran.",
        "count": "How many requests came.",
        "requests": "These, the first 200.",
    },
)
