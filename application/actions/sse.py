"""The action `sse`: listens to server-sent events until enough have come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from application.actions.config_values import read_count, read_expression, refusal
from application.actions.http_faults import http_faults
from application.actions.http_request import HTTP_REQUEST, exchange, read_seconds
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key
from domain.limits import Limits

if TYPE_CHECKING:
    from application.actions.http_messages import Response
    from application.actions.http_reading import Body

_SECONDS = 30.0
_SHOWN = 10
_SHARED = tuple(key for key in HTTP_REQUEST.keys if key not in ("method", "url", "timeout", "http2", "save_to"))


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Listen. ActionFailed tells what came, when it was not enough before the deadline or the end of the stream."""
    import asyncio  # loaded when first used: validating needs none

    listening = _Listening(config, context)
    request = {"method": "GET", **{key: value for key, value in config.items() if key in HTTP_REQUEST.keys}}
    last = config.get("last_event_id")
    request["headers"] = _headers(request.get("headers"), None if last is None else str(last))
    seconds = min(read_seconds(config.get("timeout"), _SECONDS), context.remaining())
    late = ""
    try:
        async with asyncio.timeout(seconds):
            answer = await exchange(request, context, listening.read)
    except TimeoutError:
        if not listening.status:
            raise ActionError("timeout", f"no answer within {seconds:g} s", hint="raise timeout") from None
        late = f"within {seconds:g} s"
    else:
        listening.check(answer.response, bytes(answer.body.kept))
    result = listening.result()
    if not listening.enough and config.get("allow_fewer") not in (True, "true"):
        raise ActionFailed(listening.told(late), result=result)
    return result


class _Listening:
    """What has come of one stream."""

    def __init__(self, config: Mapping[str, Any], context: ActionContext) -> None:
        self._context = context
        until = config.get("until")
        self._until = None if until is None else read_expression(until, "until")
        given = config.get("count")
        self._count = None if given is None and until is not None else read_count(given, context.limits.stream_messages)
        self._last_id = str(config.get("last_event_id") or "")
        self._retry: int | None = None
        self._events: list[dict[str, Any]] = []
        self._bytes = 0
        self._why = ""
        self.status = 0
        self.enough = False

    async def read(self, response: Response, limits: Limits) -> Body:
        """Read events; the body of an answer that is no stream is kept as it is."""
        from application.actions.http_reading import Body, decoded, read_body

        if not _is_stream(response):
            return await read_body(response, limits)
        self._begin(response)
        body = Body()
        async with aclosing(decoded(response, limits, body)) as parts:
            async for part in parts:
                if self._take(part):
                    break
        return body

    def check(self, response: Response, content: bytes) -> None:
        """ActionError `protocol` when the answer is no stream of events."""
        if self.status:
            return
        kind = response.header(b"content-type") or "nothing"
        words = content[:500].decode("utf-8", "replace")
        raise ActionError(
            "protocol",
            f"the answer is no stream of events: {response.status}, {kind[:100]}{f': {words}' if words else ''}",
            hint="a stream is 200 with the content type text/event-stream",
        )

    def result(self) -> dict[str, Any]:
        """What came, as plain data."""
        last = self._events[-1] if self._events else None
        return {
            "events": list(self._events),
            "event": last,
            "count": len(self._events),
            "last_event_id": self._last_id,
            "retry": self._retry,
            "status": self.status,
        }

    def told(self, when: str) -> str:
        """What was missing, and what came instead."""
        wanted = f"{self._count} event(s)" if self._until is None else f"event with `{self._until}`"
        shown = [f"  {json.dumps(event, ensure_ascii=False, default=str)[:200]}" for event in self._events[-_SHOWN:]]
        came = [f"{len(self._events)} came, the last ones:", *shown] if shown else ["nothing came"]
        when = when or (f"among {self._count}" if self._count == len(self._events) else "before the stream ended")
        return "\n".join((f"no {wanted} {when}", *([self._why] if self._why else []), *came))

    def _begin(self, response: Response) -> None:
        from application.actions.http_headers import shown
        from application.actions.sse_parser import EventParser

        self.status = response.status
        self._parser = EventParser(self._context.limits.stream_message_bytes, self._last_id)
        headers = [(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in response.headers]
        self._context.exchange["response"] = {"status": self.status, "headers": shown(headers), "body": ""}

    def _take(self, part: bytes) -> bool:
        """Keep the events that are complete now; whether it is enough."""
        from application.actions.http_errors import too_large
        from application.actions.sse_parser import EventTooLarge

        limits = self._context.limits
        self._bytes += len(part)
        try:
            for event in self._parser.feed(part):
                self._last_id = self._parser.last_event_id
                self._events.append({"event": event.type, "data": self._value(event.data), "id": event.id})
                if self._is_enough():
                    return True
                if len(self._events) >= limits.stream_messages:
                    raise too_large(f"more than {limits.stream_messages} events came")
        except EventTooLarge:
            raise too_large(f"an event is larger than {limits.stream_message_bytes} characters") from None
        if self._bytes > limits.stream_bytes:
            raise too_large(f"the events are larger than {limits.stream_bytes} bytes")
        self._last_id, self._retry = self._parser.last_event_id, self._parser.retry
        return False

    def _value(self, data: str) -> Any:
        from application.actions.http_answer import parsed

        return parsed("application/json", data.encode("utf-8", "replace"), data, self._context.limits.json_depth)

    def _is_enough(self) -> bool:
        """Whether the newest event is the one that was waited for, or the last of so many."""
        self._retry = self._parser.retry
        by_count = self._count is not None and len(self._events) >= self._count
        if self._until is not None:
            names = {"event": self._events[-1], "events": self._events}
            self._why = refusal(self._until, None, names, self._context)
        self.enough = by_count if self._until is None else not self._why
        return self.enough or by_count


def _is_stream(response: Response) -> bool:
    kind = response.header(b"content-type").partition(";")[0].strip().lower()
    return response.status == 200 and kind == "text/event-stream"


def _headers(value: Any, last: str | None) -> Any:
    """The headers of the step, and what a client of events sends (WHATWG HTML section 9.2.2)."""
    if value is not None and not isinstance(value, Mapping):
        return value
    given = dict(value or {})
    named = {str(name).lower() for name in given}
    own = {"Accept": "text/event-stream", "Cache-Control": "no-store", **({} if last is None else {"Last-Event-ID": last})}
    return {**{name: item for name, item in own.items() if name.lower() not in named}, **given}


SSE = Action(
    name="sse",
    description="Listens to server-sent events (text/event-stream) until enough have come; it connects only once.",
    keys={
        "url": Key(("string",), required=True, description="http:// or https://."),
        "method": Key(("string",), description="GET by default."),
        **{key: HTTP_REQUEST.keys[key] for key in _SHARED},
        "count": Key(("integer",), description="How many events to wait for; 1 by default. With until: how many at most."),
        "until": Key(("expression",), description="Which event to wait for, over `event` (event.event, event.data, event.id)."),
        "timeout": Key(("duration",), description="For the whole stream; 30s by default."),
        "last_event_id": Key(("string",), description="Where to go on: the header Last-Event-ID."),
        "allow_fewer": Key(("boolean",), description="Whether fewer events are no failure; false by default."),
    },
    run=run,
    result={
        "events": "Each with event (its type), data (parsed when it is JSON) and id.",
        "event": "The last one.",
        "count": "How many came.",
        "last_event_id": "The last id that the stream gave.",
        "retry": "Milliseconds after which the server wants to be asked again, if it said so.",
        "status": "The status code.",
    },
    unresolved=("until",),
    faults=http_faults,
    names={"until": ("event", "events")},
)
