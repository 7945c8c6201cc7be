"""The parser: tokens to a syntax tree, by precedence climbing, within limits of nodes, nesting and comprehension depth."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from domain.expressions import syntax as s
from domain.expressions.calls import FUNCTIONS, METHODS_ONLY, OTHER_WORDS, PREDICATES, canonical
from domain.expressions.cursor import Cursor
from domain.expressions.errors import ExpressionError, did_you_mean
from domain.expressions.lexer import Token, default_of, template_end
from domain.expressions.literals import number, unescape, unquote
from domain.expressions.precedence import COMPARE, LEVELS, NOT, ORDERINGS, SAME, TERNARY, UNARY, WORDS
from domain.expressions.written_out import check_written_pattern, check_written_xpath
from domain.limits import LIMITS

_N = TypeVar("_N", bound=s.Node)
_LITERALS = {"true": True, "false": False, "null": None, "nil": None}
_TESTS = {"null": "null", "nil": "null", "bool": "boolean", "int": "integer", "list": "array", "map": "object"}
_TESTS |= {
    name: name
    for name in ["string", "number", "boolean", "array", "object", "integer", "uuid", "email", "date", "url", "empty"]
}
_RESERVED = frozenset({"and", "or", "in", "is", "contains", "matches", "let"})
_TREE_OF_DEPTH = 4
_LEADING_DASH_NAME = re.compile(r"(?:-\w+)+")


class Parser(Cursor):
    """Parses the expression that begins at `start` of a text, up to the end or the `closer` of its template."""

    def __init__(self, text: str, start: int = 0, closer: str = "") -> None:
        super().__init__(text, start, closer)
        self.nodes = 0
        self.depth = 0
        self.comprehensions = 0
        self.locals: list[str] = []

    def parse(self) -> s.Node:
        """The whole expression as a tree."""
        self._check_size()
        if self.peek().value == self.closer:
            raise self.error("an expression is missing here", self.peek().start)
        tree = self._expression(0)
        token = self.peek()
        if self.at != len(self.tokens) - 1:
            raise self.unexpected(token)
        highest = _TREE_OF_DEPTH * LIMITS.expression_depth
        if s.height(tree) > highest:
            raise self.limit(f"the expression is nested more than {highest} operators deep")
        return tree

    def _check_size(self) -> None:
        part = self.text[self.start : self.end]
        if len(part) > LIMITS.expression_bytes or len(part.encode("utf-8", "replace")) > LIMITS.expression_bytes:
            raise self.limit(f"the expression is longer than {LIMITS.expression_bytes} bytes")

    def _made(self, node: _N) -> _N:
        self.nodes += 1
        if self.nodes > LIMITS.expression_nodes:
            raise self.limit(f"the expression has more than {LIMITS.expression_nodes} parts")
        return node

    # Operators

    def _expression(self, level: int) -> s.Node:
        self.depth += 1
        if self.depth > LIMITS.expression_depth:
            raise self.limit(f"the expression is nested more than {LIMITS.expression_depth} deep")
        left = self._prefix()
        while True:
            token = self.peek()
            power = LEVELS.get(token.value, 0) if token.kind in ("op", "name") else 0
            if power <= level or (token.value == "not" and not self._negates()):
                break
            left = self._infix(left, self.take(), power)
        self.depth -= 1
        return left

    def _negates(self) -> bool:
        following = self.peek(1)
        return following.kind == "name" and (following.value in WORDS or following.value == "exists")

    def _infix(self, left: s.Node, token: Token, power: int) -> s.Node:
        value = token.value
        if value == "?":
            return self._conditional(left)
        if value == "|":
            return self._pipe(left)
        if value == "is":
            return self._test(left)
        negated = value == "not"
        if negated:
            token = self.take()
            value = token.value
        if value == "exists":
            return self._made(s.Test(left.start, token.end, left, "exists", negated))
        right = self._expression(power - 1 if value in ("**", "^") else power)
        operator = WORDS.get(value) or SAME.get(value) or value
        if operator == "matches":
            check_written_pattern(right, self.text)
        node = self._made(s.Binary(left.start, right.end, operator, left, right, token.start, negated))
        return self._chained(node) if operator in ORDERINGS else node

    def _chained(self, node: s.Binary) -> s.Node:
        """`1 < x < 5` means `1 < x && x < 5`."""
        token = self.peek()
        if token.kind != "op" or token.value not in ORDERINGS:
            return node
        self.take()
        right = self._expression(COMPARE)
        second = self._made(s.Binary(node.right.start, right.end, token.value, node.right, right, token.start))
        return self._made(s.Binary(node.start, right.end, "&&", node, second, token.start))

    def _conditional(self, condition: s.Node) -> s.Node:
        yes = self._expression(0)
        self.expect(":")
        no = self._expression(TERNARY - 1)
        return self._made(s.Conditional(condition.start, no.end, condition, yes, no))

    def _pipe(self, left: s.Node) -> s.Node:
        token = self.take()
        if token.kind != "name":
            raise self.error("a function belongs behind |", token.start, "for example: body.items | len()")
        return self._postfix(self._call(token, left.start, (left,), required=False))

    def _test(self, left: s.Node) -> s.Node:
        negated = self.accept("not")
        token = self.take()
        test = _TESTS.get(token.value) if token.kind == "name" else None
        if test is None:
            hint = did_you_mean(token.value, _TESTS) or "write == to compare values"
            raise self.error("a type such as null, string or number belongs behind is", token.start, hint)
        return self._made(s.Test(left.start, token.end, left, test, negated))

    # Operands

    def _prefix(self) -> s.Node:
        token = self.take()
        value = token.value
        if token.kind == "op" and value in ("!", "-", "+"):
            operand = self._expression(UNARY)
            return self._made(s.Unary(token.start, operand.end, value, operand))
        if token.kind == "name" and value == "not":
            operand = self._expression(NOT)
            return self._made(s.Unary(token.start, operand.end, "!", operand))
        if token.kind == "name" and value == "exists" and not self._ends_operand():
            operand = self._expression(COMPARE)
            return self._made(s.Test(token.start, operand.end, operand, "exists", False))
        if token.kind == "name" and value == "let" and self.peek().kind == "name":
            return self._let(token)
        return self._postfix(self._operand(token))

    def _ends_operand(self) -> bool:
        token = self.peek()
        return token.kind == "end" or (token.kind in ("op", "name") and (token.value in LEVELS or token.value in ")],:;}}=["))

    def _operand(self, token: Token) -> s.Node:
        match token.kind:
            case "number":
                return self._made(s.Constant(token.start, token.end, number(token.value, token.start, self.text)))
            case "string":
                return self._made(s.Constant(token.start, token.end, unquote(token.value, token.start, self.text)))
            case "text":
                return self._text(token)
            case "path":
                return self._query(token)
            case "default":
                name, default = default_of(token.value) or ("", "")
                return self._made(s.Defaulted(token.start, token.end, name, default))
            case "name":
                return self._name(token)
        return self._bracketed(token)

    def _bracketed(self, token: Token) -> s.Node:
        match token.value:
            case "(":
                inner = self._expression(0)
                closing = self.expect(")")
                return replace(inner, start=token.start, end=closing.end) if not isinstance(inner, s.Predicate) else inner
            case "[":
                return self._items(token)
            case "{":
                return self._entries(token)
            case "$":
                return self._made(s.Root(token.start, token.end))
            case "${" | "{{":
                inner = self._expression(0)
                closing = self.expect("}" if token.value == "${" else "}}")
                return replace(inner, start=token.start, end=closing.end)
            case "#" | "#index" | "#acc" | ".":
                return self._element(token)
        raise self.unexpected(token)

    def _text(self, token: Token) -> s.Node:
        raw = token.value == "`"
        parts = parse_parts(self.text, token.start + 1, token.end - 1, escapes=not raw)
        if len(parts) == 1 and isinstance(parts[0], s.Constant):
            return self._made(replace(parts[0], start=token.start, end=token.end))
        self.nodes += sum(1 for part in parts for _ in s.walk(part))
        return self._made(s.Joined(token.start, token.end, parts))

    def _query(self, token: Token) -> s.Node:
        from domain.expressions.json_path import check_query  # only those who ask need it

        check_query(token.value, token.start, self.text)
        return self._made(s.Query(token.start, token.end, token.value))

    def _element(self, token: Token) -> s.Node:
        if not self.comprehensions:
            shown = "." if token.value == "." else token.value
            raise self.error(
                f"{shown} has a meaning only inside a predicate", token.start, "for example: filter(items, .price > 10)"
            )
        if token.value == ".":
            self.at -= 1  # `.field` is short for `#.field`
            return self._made(s.Element(token.start, token.start, "item"))
        which = {"#index": "index", "#acc": "acc"}.get(token.value, "item")
        return self._made(s.Element(token.start, token.end, which))  # type: ignore[arg-type]

    def _name(self, token: Token) -> s.Node:
        if self.sees("(") and token.value != "$":
            return self._call(token, token.start, ())
        if token.value in _LITERALS:
            return self._made(s.Constant(token.start, token.end, _LITERALS[token.value]))
        if token.value in _RESERVED:
            raise self.unexpected(token)
        return self._made(s.Name(token.start, token.end, token.value, token.value in self.locals))

    def _let(self, token: Token) -> s.Node:
        name = self.take()
        self.expect("=")
        value = self._expression(0)
        self.expect(";")
        self.locals.append(name.value)
        body = self._expression(0)
        self.locals.pop()
        return self._made(s.Let(token.start, body.end, name.value, value, body))

    def _items(self, token: Token) -> s.Node:
        items: list[s.Node] = []
        while not self.sees("]"):
            items.append(self._expression(0))
            if not self.accept(","):
                break
        return self._made(s.Items(token.start, self.expect("]").end, tuple(items)))

    def _entries(self, token: Token) -> s.Node:
        entries: list[tuple[s.Node, s.Node]] = []
        while not self.sees("}"):
            key = self._key()
            self.expect(":")
            entries.append((key, self._expression(0)))
            if not self.accept(","):
                break
        return self._made(s.Entries(token.start, self.expect("}").end, tuple(entries)))

    def _key(self) -> s.Node:
        token = self.take()
        if token.kind in ("name", "number"):
            return self._made(s.Constant(token.start, token.end, token.value))
        if token.kind in ("string", "text") or token.value == "(":
            return self._operand(token)
        raise self.error("a key belongs here", token.start, found=token)

    # What follows an operand

    def _postfix(self, node: s.Node) -> s.Node:
        while self.peek().kind == "op":
            if self.sees(".") or self.sees("?."):
                node = self._member(node, optional=self.take().value == "?.")
            elif self.sees("["):
                self.take()
                node = self._index(node, optional=False)
            else:
                break
        return node

    def _member(self, node: s.Node, optional: bool) -> s.Node:
        token = self.take()
        if optional and token.value == "[" and token.kind == "op":
            return self._index(node, optional=True)
        if token.kind != "name":
            raise self.error("a name belongs behind the dot", token.start, found=token)
        if self.sees("("):
            return self._call(token, node.start, (node,))
        token = self._dashed(node, token)
        key = self._made(s.Constant(token.start, token.end, token.value))
        return self._made(s.Index(node.start, token.end, node, key, optional, token.start))

    def _dashed(self, node: s.Node, token: Token) -> Token:
        """Header names have dashes: `headers.Content-Type` is one name."""
        match = _LEADING_DASH_NAME.match(self.text, token.end) if s.is_headers(node) else None
        if match is None:
            return token
        while self.peek().kind != "end" and self.peek().start < match.end():
            self.take()
        return token._replace(value=self.text[token.start : match.end()], end=match.end())

    def _index(self, node: s.Node, optional: bool) -> s.Node:
        low = None if self.sees(":") else self._expression(0)
        if self.accept(":"):
            high = None if self.sees("]") else self._expression(0)
            return self._made(s.Slice(node.start, self.expect("]").end, node, low, high))
        closing = self.expect("]")
        assert low is not None
        return self._made(s.Index(node.start, closing.end, node, low, optional, low.start))

    # Calls

    def _call(self, token: Token, start: int, first: tuple[s.Node, ...], required: bool = True) -> s.Node:
        name = canonical(token.value)
        if name is None or (name in METHODS_ONLY and not first):
            hint = did_you_mean(OTHER_WORDS.get(token.value.lower(), token.value), FUNCTIONS)
            hint = hint or "only the documented functions can be called"
            raise ExpressionError(f"there is no function {token.value}", token.start, self.text, hint, "name")
        arguments = list(first)
        end = token.end
        if required or self.sees("("):
            self.expect("(")
            while not self.sees(")"):
                predicate = name in PREDICATES and len(arguments) == 1
                arguments.append(self._predicate() if predicate else self._expression(0))
                if not self.accept(","):
                    break
            end = self.expect(")").end
        if name == "matches":
            check_written_pattern(arguments[-1], self.text)
        least, most = FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}" if most < 50 else f"at least {least}"
            raise self.error(f"{token.value} takes {wanted} arguments, got {len(arguments)}", token.start)
        if name == "xpath":
            check_written_xpath(arguments[1], self.text)
        return self._made(s.Call(start, end, name, tuple(arguments)))

    def _predicate(self) -> s.Node:
        self.comprehensions += 1
        if self.comprehensions > LIMITS.comprehension_depth:
            raise self.limit(f"predicates are nested more than {LIMITS.comprehension_depth} deep")
        start = self.peek().start
        braces = self.sees("{") and not (self.peek(1).kind in ("name", "string") and self.sees(":", 2))
        if braces:
            self.take()
        body = self._expression(0)
        if braces:
            self.expect("}")
        self.comprehensions -= 1
        return self._made(s.Predicate(start, body.end, body))


def parse_tree(text: str) -> s.Node:
    """The tree of a whole expression. ExpressionError says what is wrong and where."""
    if len(text) > LIMITS.expression_bytes:
        hint = "split it into smaller expressions"
        raise ExpressionError(f"the expression is longer than {LIMITS.expression_bytes} bytes", 0, text[:100], hint, "limit")
    return Parser(text).parse()


def parse_parts(text: str, start: int, end: int, *, escapes: bool) -> tuple[s.Node, ...]:
    """A text with templates as constants and trees, in order. `escapes`: the text is the inside of a string literal."""
    parts: list[s.Node] = []
    literal: list[str] = []
    begun = at = start

    def flush() -> None:
        joined = "".join(literal)
        if joined:
            parts.append(s.Constant(begun, at, unescape(joined, begun, text) if escapes else joined))
        literal.clear()

    while at < end:
        dollar, braces = text.find("${", at, end), text.find("{{", at, end)
        if dollar >= 0 and (braces < 0 or dollar < braces):
            opening = dollar
        elif braces >= 0:
            opening = braces
        else:
            literal.append(text[at:end])
            at = end
            break
        if opening == dollar and opening > at and text[opening - 1] == "$":
            literal.append(text[at : opening - 1] + "${")
            at = opening + 2
            continue
        literal.append(text[at:opening])
        at = opening
        flush()
        tree, at = _template(text, opening)
        parts.append(tree)
        begun = at
    flush()
    return tuple(parts)


def _template(text: str, opening: int) -> tuple[s.Node, int]:
    end = template_end(text, opening)
    default = default_of(text[opening:end])
    if default:
        return s.Defaulted(opening, end, *default), end
    tree = Parser(text, opening + 2, "}" if text[opening] == "$" else "}}").parse()
    return tree, end
