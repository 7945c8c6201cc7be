"""Pre-request scripts of Postman: variables and headers that are set to literals, made-up values and texts of both."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import field

from application.importing import javascript_tree as js
from application.importing.javascript import arguments, statements, string
from application.importing.javascript_syntax import read_expression
from application.importing.postman_conditions import NotTranslated
from application.importing.postman_scripts import IGNORED, SETTER
from application.importing.text import Template, compose
from domain.limits import LIMITS
from domain.values import dataclass

_MADE_UP = {
    "Date.now()": "TIMESTAMP_MS", "new Date().getTime()": "TIMESTAMP_MS", "new Date().toISOString()": "ISO_TIMESTAMP",
    "uuid.v4()": "UUID", "crypto.randomUUID()": "UUID",
}  # fmt: skip
_SECONDS = re.compile(r"Math\.floor\(Date\.now\(\)\s*/\s*1000\)")
_READERS = frozenset(f"pm.{one}.get" for one in ("environment", "collectionVariables", "globals", "variables"))
_HEADERS = {"pm.request.headers.add", "pm.request.headers.upsert", "pm.request.addHeader", "pm.request.headers.remove"}


@dataclass(slots=True)
class Preset:
    """What a pre-request script sets: variables by Postman's names; headers (None for one that is removed), and the names of
    those that take the place of others; and the statements left."""

    variables: dict[str, str | int | float] = field(default_factory=dict)
    headers: list[tuple[str, str | None]] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)


def preset(text: str, dynamic: Callable[[str], str], refer: Callable[[str], str]) -> Preset:
    """What a pre-request script sets. `dynamic` gives a text with its variables as references, `refer` the reference to one."""
    found = Preset()
    if len(text) > LIMITS.string_bytes:
        found.left.append(text)
        return found
    reader = _Reader(dynamic, refer)
    for statement in statements(text):
        try:
            reader.read(statement, found)
        except (NotTranslated, RecursionError):
            if not IGNORED.match(statement):
                found.left.append(statement)
    return found


class _Reader:
    def __init__(self, dynamic: Callable[[str], str], refer: Callable[[str], str]) -> None:
        self._dynamic = dynamic
        self._refer = refer

    def read(self, statement: str, found: Preset) -> None:
        match = SETTER.match(statement)
        if match is None:
            self._header(read_expression(statement), found)
            return
        given = arguments(match[1])
        name = string(given[0]) if len(given) == 2 else None
        if name is None:
            raise NotTranslated
        node = read_expression(given[1])
        number = js.plain(node) if node is not None else None
        if _SECONDS.fullmatch(given[1].strip()):
            found.variables[name] = Template("${TIMESTAMP}")
        elif number is not None and isinstance(number[0], int | float):
            found.variables[name] = number[0]
        else:
            found.variables[name] = self._text(node)

    def _header(self, node: js.Node | None, found: Preset) -> None:
        if not isinstance(node, js.Call) or js.spelled(node.function) not in _HEADERS or len(node.arguments) != 1:
            raise NotTranslated
        how, given = js.spelled(node.function), node.arguments[0]
        name = js.plain(given)
        if how.endswith("remove") and name is not None and isinstance(name[0], str):
            found.headers.append((name[0], None))
            return
        entries = dict(given.entries) if isinstance(given, js.Entries) else {}
        key = js.plain(entries["key"]) if "key" in entries else None
        if key is None or not isinstance(key[0], str) or "value" not in entries or how.endswith("remove"):
            raise NotTranslated
        found.headers.append((key[0], self._text(entries["value"])))
        if how.endswith("upsert"):
            found.replaced.add(key[0])

    def _text(self, node: js.Node | None) -> str:
        """The text that an expression makes, with references for what is not known before the run."""
        if isinstance(node, js.Constant) and isinstance(node.value, str):
            return self._dynamic(node.value)
        if isinstance(node, js.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return str(node.value)
        if isinstance(node, js.Texts):
            return compose(self._text(part) for part in node.parts)
        if isinstance(node, js.Operation) and node.operator == "+" and _is_text(node):
            return compose(self._text(part) for part in node.operands)
        if isinstance(node, js.Call):
            return self._called(node)
        raise NotTranslated

    def _called(self, node: js.Call) -> str:
        if made_up := _MADE_UP.get(js.spelled(node)):
            return Template(f"${{{made_up}}}")
        how, given = js.spelled(node.function), js.plain(node.arguments[0]) if len(node.arguments) == 1 else None
        text = given[0] if given else None
        if not isinstance(text, str):
            raise NotTranslated
        if how == "pm.variables.replaceIn":
            return self._dynamic(text)
        if how == "btoa":
            return base64.b64encode(text.encode()).decode()
        if how in _READERS:
            return self._refer(text)
        raise NotTranslated


def _is_text(node: js.Node) -> bool:
    """Whether `+` joins texts: one side is one."""
    if isinstance(node, js.Operation) and node.operator == "+":
        return any(_is_text(one) for one in node.operands)
    return isinstance(node, js.Texts) or (isinstance(node, js.Constant) and isinstance(node.value, str))
