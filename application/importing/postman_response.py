"""What Postman's assertions say of a whole answer (`pm.response.to...`, the package chai-postman), in our language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from application.importing import javascript_tree as js
from application.importing.javascript_patterns import pattern
from application.importing.postman_conditions import NotTranslated, Value, negation, nested, truth
from application.importing.postman_expressions import Translator
from application.importing.text import quoted

_STATES = {
    "ok": "status == 200", "accepted": "status == 202", "withoutContent": "status == 204", "badRequest": "status == 400",
    "unauthorized": "status == 401", "unauthorised": "status == 401", "forbidden": "status == 403",
    "notFound": "status == 404", "notAcceptable": "status == 406", "rateLimited": "status == 429",
    "info": "status < 200", "success": "status >= 200 && status < 300", "redirection": "status >= 300 && status < 400",
    "clientError": "status >= 400 && status < 500", "serverError": "status >= 500 && status < 600",
    "error": "status >= 400 && status < 600", "json": "body is object || body is array", "withBody": "size > 0",
}  # fmt: skip
_REASONS = {
    "OK": 200, "Created": 201, "Accepted": 202, "No Content": 204, "Moved Permanently": 301, "Found": 302, "Not Modified": 304,
    "Bad Request": 400, "Unauthorized": 401, "Forbidden": 403, "Not Found": 404, "Conflict": 409, "Unprocessable Entity": 422,
    "Too Many Requests": 429, "Internal Server Error": 500, "Bad Gateway": 502, "Service Unavailable": 503,
}  # fmt: skip
_DRAFT = "http://json-schema.org/draft-07/schema#"
_DRAFTS = (_DRAFT, _DRAFT.rstrip("#"))
_KNOWN = (
    "date time date-time uri uri-reference uri-template url email hostname ipv4 ipv6 regex uuid json-pointer"
    " json-pointer-uri-fragment relative-json-pointer"
)
_FORMATS = frozenset(_KNOWN.split())
"""Those that Ajv 6 knows; another makes every check of the schema fail."""


def answer_check(
    word: str, given: tuple[js.Node, ...] | None, negated: bool, translator: Translator, keep: Callable[[Any], str]
) -> Value:
    """The check of one word, such as `status`, with its arguments."""
    if given is None:
        if word not in _STATES:
            raise NotTranslated
        check = truth(_STATES[word])
    elif word == "jsonSchema":
        check = schema_check(Value("body"), given, translator, keep)
    elif word in _CHECKS:
        return _CHECKS[word](given, [translator.value(one) if _is_value(one) else None for one in given], negated)
    else:
        raise NotTranslated
    return negation(check) if negated else check


def schema_check(subject: Value, given: tuple[js.Node, ...], translator: Translator, keep: Callable[[Any], str]) -> Value:
    """Whether a value fits a schema, by draft 7 as in Postman; its options have no counterpart."""
    schema = translator.value(given[0]).constant if len(given) == 1 else None
    if schema is None or not isinstance(schema[0], dict) or schema[0].get("$schema", _DRAFT) not in _DRAFTS:
        raise NotTranslated
    if not _formats(schema[0]) <= _FORMATS:
        raise NotTranslated
    return truth(f"json_schema({subject.text}, {keep({'$schema': _DRAFT, **schema[0]})})").as_simple()


def _formats(schema: Any) -> set[str]:
    found, pending = set[str](), [schema]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            found |= {one["format"]} if isinstance(one.get("format"), str) else set()
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
    return found


def _is_value(node: js.Node) -> bool:
    return not isinstance(node, js.Pattern)


def _status(given: tuple[js.Node, ...], values: list[Value | None], negated: bool) -> Value:
    found = js.plain(given[0]) if given else None
    code = found[0] if found else None
    if isinstance(code, str):
        code = _REASONS.get(code)
    if isinstance(code, int) and not isinstance(code, bool):
        return truth(f"status {'!=' if negated else '=='} {code}")
    if found is None and values and values[0]:
        return truth(f"status {'!=' if negated else '=='} {values[0].operand}")
    raise NotTranslated


def _header(given: tuple[js.Node, ...], values: list[Value | None], negated: bool) -> Value:
    name = js.plain(given[0]) if given else None
    if name is None or not isinstance(name[0], str) or (negated and len(given) > 1):
        raise NotTranslated
    header = f"headers[{quoted(name[0])}]"
    if len(given) == 1:
        return truth(f"{header} {'not ' if negated else ''}exists")
    if values[1] is None or values[1].kind not in ("text", "named", ""):
        raise NotTranslated
    return truth(f"{header} == {values[1].operand}")


def _body(given: tuple[js.Node, ...], values: list[Value | None], negated: bool) -> Value:
    if not given:
        return truth(f"size {'==' if negated else '>'} 0")
    if isinstance(given[0], js.Pattern):
        return truth(f"text {'not ' if negated else ''}matches {pattern(given[0])}")
    value = values[0]
    if value is None or value.kind == "array":
        raise NotTranslated
    return truth(f"{'body' if value.kind == 'object' else 'text'} {'!=' if negated else '=='} {value.operand}")


def _json_body(given: tuple[js.Node, ...], values: list[Value | None], negated: bool) -> Value:
    if not given:
        check = truth(_STATES["json"])
        return negation(check) if negated else check
    path = js.plain(given[0])
    if path is None or not isinstance(path[0], str) or (len(given) > 1 and values[1] is None):
        raise NotTranslated
    found, has, lacks = nested(Value("body"), path[0])
    if negated:
        return lacks
    if len(given) == 1:
        return has
    value = values[1]
    assert value is not None
    return truth(f"{found.operand} is null" if value.constant == (None,) else f"{found.operand} == {value.operand}")


_CHECKS: Mapping[str, Callable[[tuple[js.Node, ...], list[Value | None], bool], Value]] = {
    "status": _status, "statusCode": _status, "header": _header, "body": _body, "jsonBody": _json_body,
}  # fmt: skip
