"""The action `http_request`: one HTTP request, its answer as plain data."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from application.actions.http_faults import http_faults
from application.engine.action import Action, ActionContext, ActionError, Key
from domain.duration import parse_duration

if TYPE_CHECKING:
    from application.actions.http_client import Answer, ReadBody

_SECONDS = 30.0


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Send the request and read its answer, within the time-out."""
    from application.actions.http_exchange import asked, result_of  # with aiohttp: only when a step runs

    seconds = read_seconds(config.get("timeout"), _SECONDS)
    if config.get("save_to") is not None:
        from application.actions.http_saving import saved

        return await saved(config, seconds, context)
    return result_of(await within(seconds, asked(config, context), context), context)


async def within(seconds: float, answer: Awaitable[Answer], context: ActionContext) -> Answer:
    """The answer, or ActionError `timeout`; the whole of it counts: connecting, redirects and the body."""
    import asyncio  # loaded when first used: validating needs none

    limit = min(seconds, context.remaining())
    try:
        async with asyncio.timeout(limit):
            return await answer
    except TimeoutError:
        raise ActionError("timeout", f"no whole answer within {limit:g} s", hint="raise timeout") from None


async def exchange(config: Mapping[str, Any], context: ActionContext, read: ReadBody | None = None) -> Answer:
    """Ask as the config says; the request is shown in the context's exchange before it is sent. `read` reads the bodies."""
    from application.actions.http_exchange import asked
    from application.actions.http_reading import read_body

    return await asked(config, context, read or read_body)


def read_seconds(value: Any, default: float) -> float:
    """A duration above 0. ActionError `config` for any other."""
    if value is None:
        return default
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ActionError("config", f"timeout: {error}") from None
    if seconds <= 0:
        raise ActionError("config", "timeout must be more than 0")
    return seconds


def _part_files(value: Any) -> Iterator[str]:
    """The files that parts of `multipart` name."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for item in items:
        for part in item if isinstance(item, list) else [item]:
            if isinstance(part, Mapping) and isinstance(part.get("file"), str):
                yield part["file"]


def _pem_files(value: Any) -> list[str]:
    """A path of a file; text that is a certificate or key itself names none."""
    return [value] if isinstance(value, str) and "-----BEGIN" not in value else []


HTTP_REQUEST = Action(
    name="http_request",
    aliases=("http",),
    description="Sends one HTTP request. Steps of an execution share connections and cookies. Nothing is sent twice by itself.",
    keys={
        "method": Key(("string",), required=True, description="GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS or another."),
        "url": Key(("string",), required=True, description="http:// or https://; user:password@ becomes basic auth."),
        "headers": Key(("object",), description="Names and values; a list repeats a header, null leaves a default one out."),
        "params": Key(
            ("object",),
            aliases=("query",),
            description="Added to the query of the URL; a list repeats a name, null is left out.",
        ),
        "body": Key(description="Text goes as it is; any other value as JSON."),
        "body_file": Key(
            ("string",),
            names="file",
            aliases=("body_from_file",),
            description="A file below the project's folder, sent as it is; Content-Type by its suffix, unless headers has one.",
        ),
        "json": Key(description="Any value, as JSON."),
        "form": Key(("object", "string"), description="Names and values, as application/x-www-form-urlencoded."),
        "multipart": Key(
            ("object", "array"),
            names="file",
            named=_part_files,
            description="Parts by name, as multipart/form-data: a value, or an object of content, base64 or file (a path below"
            " the project's folder), filename and content_type. A list of such objects, each with a name, keeps the order.",
        ),
        "graphql": Key(("object", "string"), description="query, variables, operation_name; as JSON."),
        "auth": Key(
            ("object",),
            description="type: basic (username, password), bearer (token), api_key (key, name, in: header or query), digest"
            " (username, password), oauth2 (token_url, client_id, client_secret, scope, audience, client_auth: basic or body).",
        ),
        "cookies": Key(("object",), description="Sent by this step beside those that answers set before."),
        "timeout": Key(("duration",), description="For the whole exchange, redirects and body included; 30s by default."),
        "follow_redirects": Key(("boolean",), description="True by default. To another origin go no header, cookie and body."),
        "max_redirects": Key(("integer",), description="5 by default, at most 50."),
        "verify_ssl": Key(("boolean",), description="True by default."),
        "cert": Key(
            ("string", "object"),
            description="PEM text of the client's certificate and key, or an object: certificate, key, password, and ca: the"
            " authorities to trust instead of the machine's.",
        ),
        "client_cert": Key(
            ("string",),
            names="file",
            named=_pem_files,
            description="Instead of cert: PEM text, or the path of a file below the project's folder.",
        ),
        "client_key": Key(
            ("string",),
            names="file",
            named=_pem_files,
            description="Its key, in the same ways; not needed where client_cert holds both.",
        ),
        "proxy": Key(("string",), description="http://user:password@host:port; proxies of the environment are not used."),
        "save_to": Key(
            ("string",),
            writes=True,
            aliases=("output_file",),
            description="A file below the project's folder for the whole body of the answer, whatever its status; on workers it"
            " is gone when the flow ends.",
        ),
        "http2": Key(("boolean",), description="Offers HTTP/2; on http:// it is spoken at once. Needs the extra http2."),
    },
    run=run,
    result={
        "status": "The status code.",
        "body": "The value, when the content type is JSON; else the text.",
        "text": "The body as text.",
        "headers": "By name. A repeated header is one text joined by `, `; several Set-Cookie are a list.",
        "cookies": "What the answer, and redirects on the way to it, have set: values by name.",
        "time": "Milliseconds from the beginning to the end of the body.",
        "size": "Bytes of the body, decompressed.",
        "url": "Where the answer came from, after redirects.",
        "timings": "Milliseconds: dns, connect and tls (0 on a kept connection), first_byte (from connected to the headers),"
        " of the last request; total.",
        "http_version": "HTTP/1.1 or HTTP/2.",
        "truncated": "Whether the body was longer than what is kept (1 MiB); it is not parsed then.",
        "saved": "With save_to: the file, below the project's folder.",
        "sha256": "The SHA-256 of the whole body, in hex.",
    },
    faults=http_faults,
)
