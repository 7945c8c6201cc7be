"""Refusals as problem+json (RFC 9457): one mapping of kinds to statuses."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from domain.errors import InvalidFlow, Refusal
from interfaces.authentication import Unauthenticated

STATUSES = {
    "invalid": 422,
    "not_found": 404,
    "conflict": 409,
    "forbidden": 403,
    "unavailable": 503,
    "too_large": 413,
    "too_many": 429,
}
CONTENT_TYPE = "application/problem+json"
_CODES = {
    "invalid_body": 400,
    "idempotency_key_reused": 422,
    "position_not_reached": 409,
    "resync": 410,
    "upgrade_required": 426,
}


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal."""
    if isinstance(refusal, Unauthenticated):
        return 401
    return _CODES.get(refusal.code, STATUSES[refusal.kind])


def problem(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The body of a refusal's answer."""
    body: dict[str, Any] = {
        "type": f"urn:testmesh:problem:{refusal.code}",
        "code": refusal.code,
        "status": status_of(refusal),
        "title": refusal.message if not isinstance(refusal, InvalidFlow) else "the flow document is not valid",
        "request_id": request_id,
    }
    if refusal.remedy:
        body["remedy"] = refusal.remedy
    if isinstance(refusal, InvalidFlow):
        body["problems"] = [asdict(found) for found in refusal.problems]
    return body


def other_problem(status: int, code: str, title: str, request_id: str) -> dict[str, Any]:
    """The body of an answer that no refusal stands behind."""
    return {"type": f"urn:testmesh:problem:{code}", "code": code, "status": status, "title": title, "request_id": request_id}
