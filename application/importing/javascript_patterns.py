"""Regular expressions of JavaScript as patterns of RE2 (github.com/google/re2/wiki/Syntax), where one means the same."""

from __future__ import annotations

import re

from application.importing import javascript_tree as js
from application.importing.postman_conditions import NotTranslated
from application.importing.text import quoted
from domain.expressions.errors import Fault
from domain.expressions.operators import pattern as compiled

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_LONGEST = 1000


def pattern(node: js.Node) -> str:
    """The literal of a pattern. NotTranslated for look-around, back references and what else RE2 has not."""
    if not isinstance(node, js.Pattern) or set(node.flags) - set("gimsu") or len(node.source) > _LONGEST:
        raise NotTranslated
    flags = "".join(sorted(set(node.flags) & set("ims")))
    text = (f"(?{flags})" if flags else "") + _ESCAPE.sub(_escape, node.source)
    try:
        compiled(text)
    except Fault:
        raise NotTranslated from None
    return quoted(text)


def _escape(match: re.Match[str]) -> str:
    if match[1]:
        return f"\\x{{{match[1]}}}"
    return "/" if match[2] == "/" else match[0]
