"""XPath 1.0 (W3C, 1999) as a syntax tree: every axis, node test, operator and predicate; no variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from domain.expressions.errors import Fault, did_you_mean

LONGEST = 1_000
DEEPEST = 30
AXES = frozenset(
    (
        *("ancestor", "ancestor-or-self", "attribute", "child", "descendant", "descendant-or-self", "following"),
        *("following-sibling", "parent", "preceding", "preceding-sibling", "self"),
    )
)
FUNCTIONS = {
    "last": (0, 0),
    "position": (0, 0),
    "count": (1, 1),
    "name": (0, 1),
    "local-name": (0, 1),
    "string": (0, 1),
    "concat": (2, 50),
    "starts-with": (2, 2),
    "contains": (2, 2),
    "substring-before": (2, 2),
    "substring-after": (2, 2),
    "substring": (2, 3),
    "string-length": (0, 1),
    "normalize-space": (0, 1),
    "translate": (3, 3),
    "boolean": (1, 1),
    "not": (1, 1),
    "true": (0, 0),
    "false": (0, 0),
    "number": (0, 1),
    "sum": (1, 1),
    "floor": (1, 1),
    "ceiling": (1, 1),
    "round": (1, 1),
}
"""The least and the most arguments of each function."""
NODE_TYPES = ("node", "text", "comment", "processing-instruction")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<text>\"[^\"]*\"|'[^']*')|(?P<sign>//|::|\.\.|!=|<=|>=|[()\[\].@,/|+\-=<>*])"
    r"|(?P<name>[A-Za-z_\u0080-\uffff][\w.\-\u0080-\uffff]*(?::(?!:)(?:[A-Za-z_\u0080-\uffff][\w.\-\u0080-\uffff]*|\*))?))"
)
_WORDS = ("and", "or", "div", "mod")
_NO_OPERATOR_AFTER = (None, "@", "::", "(", "[", ",", "/", "//", "|", "+", "-", "=", "!=", "<", "<=", ">", ">=", "*op", *_WORDS)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("or",),
    ("and",),
    ("=", "!="),
    ("<", "<=", ">", ">="),
    ("+", "-"),
    ("*op", "div", "mod"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """An axis, a test (a node type with `()`, a name or `*`) and predicates."""

    axis: str
    test: str
    predicates: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Literal:
    """A text or a number."""

    value: str | float


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two expressions."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Negative:
    """A minus before an expression."""

    value: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Steps from the root, from an expression that `predicates` filter, or from the node that is looked at."""

    start: Expression | None
    absolute: bool
    predicates: tuple[Expression, ...]
    steps: tuple[Step, ...]


Expression = Literal | Binary | Negative | Call | Route
_ANYWHERE = Step("descendant-or-self", "node()")


@lru_cache(maxsize=256)
def parse_xpath(text: str) -> Expression:
    """The tree of an expression. Fault of kind syntax says what is wrong and where."""
    if len(text) > LONGEST:
        raise Fault("limit", f"an XPath has at most {LONGEST} characters")
    parser = _Parser(text, _tokens(text))
    found = parser.expression()
    parser.ended()
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token; a star and words that are operators here are called so (XPath 1.0, 3.7)."""
    found: list[tuple[str, str]] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        token = _TOKEN.match(text, place)
        if token is None:
            raise Fault("syntax", f"the XPath cannot be read at {text[place:][:20].strip()!r}")
        place = token.end()
        kind, value = str(token.lastgroup), str(token[str(token.lastgroup)])
        last = found[-1] if found else None
        before = None if last is None else last[1] if last[0] in ("sign", "operator") else ""
        if before not in _NO_OPERATOR_AFTER and (value == "*" or (kind == "name" and value in _WORDS)):
            kind, value = "operator", "*op" if value == "*" else value
        found.append((kind, value))
    return found


def _call(name: str, arguments: tuple[Expression, ...]) -> Call:
    if name not in FUNCTIONS:
        raise Fault("syntax", f"XPath has no function {name[:40]}()", did_you_mean(name, FUNCTIONS))
    least, most = FUNCTIONS[name]
    if not least <= len(arguments) <= most:
        raise Fault("syntax", f"{name}() of an XPath takes {least if least == most else f'{least} to {most}'} arguments")
    return Call(name, arguments)


class _Parser:
    def __init__(self, text: str, tokens: list[tuple[str, str]]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def ended(self) -> None:
        """Fault if something is left."""
        if self._at < len(self._tokens):
            raise self._wrong()

    def expression(self, level: int = 0) -> Expression:
        """An expression whose operators bind at least as the level says."""
        if level == 0:
            self._depth += 1
            if self._depth > DEEPEST:
                raise Fault("limit", f"an XPath is nested at most {DEEPEST} deep")
        left = self._unary() if level == len(_LEVELS) else self.expression(level + 1)
        while level < len(_LEVELS) and (operator := self._take(*_LEVELS[level])):
            left = Binary(operator, left, self.expression(level + 1))
        self._depth -= level == 0
        return left

    def _unary(self) -> Expression:
        minus = 0
        while self._take("-"):
            minus += 1
        found = self._path()
        while self._take("|"):
            found = Binary("|", found, self._path())
        return Negative(found) if minus % 2 else found

    def _path(self) -> Expression:
        kind, value = self._next()
        if value == "/" and kind == "sign":
            self._at += 1
            return Route(None, True, (), self._steps() if self._begins_step() else ())
        if value == "//" and kind == "sign":
            self._at += 1
            return Route(None, True, (), (_ANYWHERE, *self._steps()))
        if self._begins_step():
            return Route(None, False, (), self._steps())
        return self._filtered(self._primary())

    def _filtered(self, start: Expression) -> Expression:
        predicates = self._predicates()
        steps: tuple[Step, ...] = ()
        if self._take("/"):
            steps = self._steps()
        elif self._take("//"):
            steps = (_ANYWHERE, *self._steps())
        return Route(start, False, predicates, steps) if predicates or steps else start

    def _primary(self) -> Expression:
        kind, value = self._next()
        self._at += 1
        if kind == "number":
            return Literal(float(value))
        if kind == "text":
            return Literal(value[1:-1])
        if value == "(":
            inner = self.expression()
            self._need(")")
            return inner
        if kind == "name":
            self._need("(")
            return _call(value, self._arguments())
        self._at -= 1
        raise self._wrong()

    def _arguments(self) -> tuple[Expression, ...]:
        if self._take(")"):
            return ()
        found = [self.expression()]
        while self._take(","):
            found.append(self.expression())
        self._need(")")
        return tuple(found)

    def _steps(self) -> tuple[Step, ...]:
        found = [self._step()]
        while mark := self._take("/", "//"):
            found += [_ANYWHERE] * (mark == "//")
            found.append(self._step())
        return tuple(found)

    def _begins_step(self) -> bool:
        kind, value = self._next()
        following = self._tokens[self._at + 1][1] if self._at + 1 < len(self._tokens) else ""
        if kind == "name":
            return following != "(" or value in NODE_TYPES
        return kind == "sign" and value in (".", "..", "@", "*")

    def _step(self) -> Step:
        if self._take("."):
            return Step("self", "node()", self._predicates())
        if self._take(".."):
            return Step("parent", "node()", self._predicates())
        axis = "attribute" if self._take("@") else "child"
        kind, value = self._next()
        if kind == "name" and self._at + 1 < len(self._tokens) and self._tokens[self._at + 1][1] == "::":
            if value not in AXES:
                raise Fault("syntax", f"XPath has no axis {value[:40]!r}")
            axis, self._at = value, self._at + 2
            kind, value = self._next()
        if kind != "name" and value != "*":
            raise self._wrong()
        self._at += 1
        if kind == "name" and value in NODE_TYPES and self._take("("):
            if self._next()[0] == "text":
                self._at += 1
            self._need(")")
            value += "()"
        return Step(axis, value, self._predicates())

    def _predicates(self) -> tuple[Expression, ...]:
        found = []
        while self._take("["):
            found.append(self.expression())
            self._need("]")
        return tuple(found)

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self, *values: str) -> str:
        kind, value = self._next()
        if kind in ("sign", "operator") and value in values:
            self._at += 1
            return value
        return ""

    def _need(self, value: str) -> None:
        if not self._take(value):
            raise self._wrong(f", where {value} is needed")

    def _wrong(self, more: str = "") -> Fault:
        kind, value = self._next()
        at = f"at {value.removesuffix('op')!r}" if kind else "at its end"
        return Fault(
            "syntax", f"the XPath {self._text[:80]!r} cannot be read {at}{more}", "see XPath 1.0; $variables are not known"
        )
