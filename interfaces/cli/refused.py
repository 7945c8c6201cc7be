"""What a server refuses, as refusals of ours: its words, its code, its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from domain.errors import Conflict, Forbidden, Invalid, NotFound, Refusal, Unavailable

_KINDS: Mapping[int, type[Refusal]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    503: Unavailable,
}


def of_answer(url: str, status: int, content: bytes) -> Refusal:
    """The refusal that an HTTP answer carries; its problems are listed below the title."""
    try:
        found = orjson.loads(content)
        problems = [f"{p['file']}:{p['line']}:{p['column']}: {p['title']}" for p in found.get("problems") or []]
        return of_problem({**found, "status": status, "title": "\n".join([found["title"], *problems])})
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        kind = _KINDS.get(status, Unavailable)
        return kind(f"{url} answered {status}", code="http", remedy="is this a TestMesh?")


def of_problem(problem: Mapping[str, Any]) -> Refusal:
    """The refusal that a problem (RFC 9457) tells of."""
    kind = _KINDS.get(problem["status"], Unavailable)
    return kind(problem["title"], code=problem["code"], remedy=problem.get("remedy"))
