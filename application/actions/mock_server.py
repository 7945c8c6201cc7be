"""The actions `mock_server_start`, `_update`, `_reset_state` and `_stop`: HTTP servers that a flow starts for itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from application.engine.action import Action, ActionContext, ActionError, Key
from domain.definition import Path as Place

if TYPE_CHECKING:
    from application.actions.mock_server_endpoints import Endpoint
    from application.actions.mock_server_running import MockServer

_PREFIX = "mock_server:"
_OWN_NAMES = ("request", "state", "path", "request_count", "timestamp")


async def start(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Listen, and answer with the endpoints; the names of the flow are those of this moment."""
    from application.actions.mock_server_running import MockServer

    if config.get("from_file") is not None:
        from application.actions.mock_server_files import with_file

        config = with_file(config, context)
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
    if isinstance(config.get("state"), Mapping):
        server.answers.state = dict(config["state"])
    dropped = server.records.forget() if config.get("requests", True) else 0
    return {"name": server.name, "state": dict(server.answers.state), "dropped": dropped}


async def stop(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Stop listening. A server that does not run is told in a log line, so that teardown may always stop it."""
    name = _name(config, _servers(context))
    server = _servers(context).get(name)
    if server is None:
        context.log("warning", f"no mock server {name!r} runs, so that none was stopped")
        return {"name": name, "stopped": False, "count": 0, "requests": []}
    tell(server, context)
    await _stop(server, context)
    return {"name": server.name, "stopped": True, "count": server.records.count, "requests": _page(server)}


def server_of(config: Mapping[str, Any], context: ActionContext) -> MockServer:
    """The server that a step means. ActionError `config` when it does not run."""
    servers = _servers(context)
    name = _name(config, servers)
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


def _name(config: Mapping[str, Any], known: Collection[str] | None = None) -> str:
    """The name, or that within an id, which ends with the port. `known` are the servers that run, where one must."""
    given = config.get("name")
    if given is None and config.get("server_id") is not None:
        given = str(config["server_id"]).rpartition("-")[0]
    name = "default" if given is None else str(given)
    if known is not None and name not in known and (before := name.rpartition("-")[0]) in known:
        name = before
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
    from application.actions.mock_server_responses import read_chaos

    def body(path: Any, binary: bool) -> Mapping[str, Any]:
        from application.actions.mock_server_files import body_of

        return body_of(context.render(path, {}), binary, context)

    chaos = read_chaos(config.get("chaos"), "the server", body)
    given = config.get("endpoints") if config.get("endpoint") is None else [config["endpoint"]]
    if config.get("endpoint") is not None and config.get("endpoints") is not None:
        raise ActionError("config", "endpoint and endpoints are both given; keep one")
    return read_endpoints(given, lambda value: context.render(value, {}), context.limits, body, chaos)


def _expressions(config: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    from application.actions.mock_server_endpoints import expressions_of, expressions_of_one
    from application.actions.mock_server_responses import chaos_expressions

    yield from ((("endpoints", *place), text) for place, text in expressions_of(config.get("endpoints")))
    yield from ((("endpoint", *place), text) for place, text in expressions_of_one(config.get("endpoint")))
    yield from ((("chaos", *place), text) for place, text in chaos_expressions(config.get("chaos")))


def _faults(config: Mapping[str, Any]) -> Iterator[tuple[Place, str, str | None]]:
    from application.actions.mock_server_endpoints import faults_of
    from application.actions.mock_server_responses import chaos_faults

    yield from ((("endpoints", *place), message, remedy) for place, message, remedy in faults_of(config.get("endpoints")))
    if isinstance(config.get("endpoint"), Mapping):
        yield from ((("endpoint",), message, remedy) for _, message, remedy in faults_of([config["endpoint"]]))
    yield from ((("chaos",), message, remedy) for message, remedy in chaos_faults(config.get("chaos")))


def _page(server: MockServer) -> list[dict[str, Any]]:
    return [dict(request) for request in server.records.requests[:200]]


_WHICH = {
    "name": Key(("string",), aliases=("server",), description="The server, by its name or id; `default` by default."),
    "server_id": Key(("string",), description="The server by its id."),
}


def _body_files(value: Any) -> Iterator[str]:
    """The files that responses within endpoints or chaos take their bodies from."""
    if isinstance(value, Mapping):
        if isinstance(value.get("body_from_file"), str):
            yield value["body_from_file"]
        value = [*value.values()]
    for part in value if isinstance(value, list) else []:
        yield from _body_files(part)


_ENDPOINTS = Key(
    ("array", "object"),
    aliases=("routes",),
    names="file",
    named=_body_files,
    description="Each has path (`/users/:id`, `/users/{id}`, `/files/*`), method (one, a list or ANY), match (an expression"
    " over `request`, or query, headers, body and expression), response (status, headers, body, json, text or base64, delay) or"
    " responses (one after the other, the last one stays), state (set, increment, append, remove: made before the response),"
    " when_state, times, priority (higher first), fault (reset, empty, hang, malformed, random_status, or an object with"
    " type, probability and statuses) and id. Templates are resolved when a request comes: they know `request` (method, path,"
    " params, query, headers, body, ip), `path` (its params), `state`, `request_count`, `timestamp`, and the flow's names as"
    " they are now. An object is by `METHOD /path`. match also takes body_matches: expressions in which `$` is the body. A"
    " response also takes when (the first that holds is sent), body_from_file and binary (below the project's folder, local"
    " runs), delay {min, max}, fault, hang, close_connection, and state_changes (a list of action, path, value: made after it)."
    " chaos_rules: probability and response of what comes instead. scenarios: name, response and next_state of each stage.",
)
_CHAOS = Key(
    ("object", "array"),
    names="file",
    named=_body_files,
    description="enabled and rules, each of probability and response: what comes instead, of any endpoint.",
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
        "state": Key(("object",), description="Names and values with which the state begins."),
        "chaos": _CHAOS,
        "from_file": Key(
            ("string",),
            names="file",
            description="A YAML or JSON file below the project's folder with name, port, endpoints, state and chaos, or these"
            " below mock_server. The step's own win; its endpoints come first.",
        ),
    },
    run=start,
    result={**_INFO, "requests": "Empty; mock_server_verify and mock_server_stop give what came."},
    unresolved=("endpoints", "chaos"),
    names={"endpoints": _OWN_NAMES, "chaos": _OWN_NAMES},
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
            aliases=("routes",),
            names="file",
            named=_body_files,
            description="As in mock_server_start. Each takes the place of those with its id, or its method and path; all come"
            " before the others of their priority.",
        ),
        "endpoint": Key(("object",), names="file", named=_body_files, description="A single endpoint."),
        "state": Key(("object",), description="Names and values that are set."),
    },
    run=update,
    result={**_INFO, "state": "The state now.", "requests": "What was received, the first 200."},
    unresolved=("endpoints", "endpoint"),
    names={"endpoints": _OWN_NAMES, "endpoint": _OWN_NAMES},
    expressions=_expressions,
    faults=_faults,
)
MOCK_SERVER_RESET_STATE = Action(
    name="mock_server_reset_state",
    description="Makes a mock server forget: its state and sequences begin anew, recorded requests are dropped.",
    keys={
        **_WHICH,
        "state": Key(("boolean", "object"), description="Whether the state begins anew, true by default; or what it is then."),
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
