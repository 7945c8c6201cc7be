"""The parser: tokens to a syntax tree, by precedence climbing, within limits of nodes, nesting and comprehension depth."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from domain.expressions import syntax as s
from domain.expressions.calls import FUNCTIONS, METHODS_ONLY, OTHER_WORDS, PREDICATES, canonical
from domain.expressions.errors import ExpressionError, Fault, did_you_mean
from domain.expressions.lexer import Token, default_of, lex, template_end
from domain.expressions.strings import unescape, unquote
from domain.limits import LIMITS

_N = TypeVar("_N", bound=s.Node)
_WORDS = {"contains": "contains", "in": "in", "matches": "matches", "startsWith": "startsWith", "endsWith": "endsWith"}
_WORDS |= {"starts_with": "startsWith", "ends_with": "endsWith"}
_PIPE, _TERNARY, _OR, _AND, _NOT, _COMPARE, _UNARY = 2, 4, 10, 15, 17, 20, 1000
_LEVELS = {"||": _OR, "or": _OR, "&&": _AND, "and": _AND, "|": _PIPE, "?": _TERNARY, "..": 25, "+": 30, "-": 30}
_LEVELS |= {"*": 60, "/": 60, "%": 60, "**": 100, "^": 100, "??": 500, "is": _COMPARE, "exists": _COMPARE, "not": _COMPARE}
_LEVELS |= dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _COMPARE) | dict.fromkeys(_WORDS, _COMPARE)
_SAME = {"or": "||", "and": "&&", "^": "**"}
_ORDERINGS = ("<", "<=", ">", ">=")
_LITERALS = {"true": True, "false": False, "null": None, "nil": None}
_TESTS = {"null": "null", "nil": "null", "bool": "boolean", "int": "integer", "list": "array", "map": "object"}
_TESTS |= {
    name: name
    for name in ["string", "number", "boolean", "array", "object", "integer", "uuid", "email", "date", "url", "empty"]
}
_RESERVED = frozenset({"and", "or", "in", "is", "contains", "matches", "let"})
_TREE_OF_DEPTH = 4
_LEADING_DASH_NAME = re.compile(r"(?:-\w+)+")


class Parser:
    """Parses the expression that begins at `start` of a text, up to the end or the `closer` of its template."""

    def __init__(self, text: str, start: int = 0, closer: str = "") -> None:
        self.text = text
        self.start = start
        self.closer = closer
        self.tokens = lex(text, start, closer)
        self.at = 0
        self.nodes = 0
        self.depth = 0
        self.comprehensions = 0
        self.locals: list[str] = []

    @property
    def end(self) -> int:
        """The offset behind the expression and its closer."""
        return self.tokens[-1].end

    def parse(self) -> s.Node:
        """The whole expression as a tree."""
        self._check_size()
        if self._peek().value == self.closer:
            raise self._error("an expression is missing here", self._peek().start)
        tree = self._expression(0)
        token = self._peek()
        if self.at != len(self.tokens) - 1:
            raise self._unexpected(token)
        highest = _TREE_OF_DEPTH * LIMITS.expression_depth
        if s.height(tree) > highest:
            raise self._limit(f"the expression is nested more than {highest} operators deep")
        return tree

    def _check_size(self) -> None:
        part = self.text[self.start : self.end]
        if len(part) > LIMITS.expression_bytes or len(part.encode("utf-8", "replace")) > LIMITS.expression_bytes:
            raise self._limit(f"the expression is longer than {LIMITS.expression_bytes} bytes")

    # Tokens

    def _peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def _take(self) -> Token:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def _is(self, value: str, ahead: int = 0) -> bool:
        token = self._peek(ahead)
        return token.value == value and token.kind in ("op", "name")

    def _accept(self, value: str) -> bool:
        if self._is(value):
            self._take()
            return True
        return False

    def _expect(self, value: str) -> Token:
        if not self._is(value):
            raise self._error(f"expected {value} here", self._peek().start, found=self._peek())
        return self._take()

    # Errors

    def _error(self, message: str, offset: int, hint: str | None = None, found: Token | None = None) -> ExpressionError:
        if found is not None:
            message += ", but the expression ends" if found.kind == "end" else f", found {found.value}"
        return ExpressionError(message, offset, self.text, hint)

    def _unexpected(self, token: Token) -> ExpressionError:
        if token.kind == "end":
            return self._error("the expression ends too early", token.start)
        hint = "write == to compare" if token.value == "=" else None
        if token.kind == "name":
            hint = did_you_mean(token.value, [*_WORDS, "and", "or", "not", "is", "exists"])
        return self._error(f"unexpected {token.value}", token.start, hint)

    def _limit(self, message: str) -> ExpressionError:
        return ExpressionError(message, self.start, self.text, "split it into smaller expressions", "limit")

    def _made(self, node: _N) -> _N:
        self.nodes += 1
        if self.nodes > LIMITS.expression_nodes:
            raise self._limit(f"the expression has more than {LIMITS.expression_nodes} parts")
        return node

    # Operators

    def _expression(self, level: int) -> s.Node:
        self.depth += 1
        if self.depth > LIMITS.expression_depth:
            raise self._limit(f"the expression is nested more than {LIMITS.expression_depth} deep")
        left = self._prefix()
        while True:
            token = self._peek()
            power = _LEVELS.get(token.value, 0) if token.kind in ("op", "name") else 0
            if power <= level or (token.value == "not" and not self._negates()):
                break
            left = self._infix(left, self._take(), power)
        self.depth -= 1
        return left

    def _negates(self) -> bool:
        following = self._peek(1)
        return following.kind == "name" and (following.value in _WORDS or following.value == "exists")

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
            token = self._take()
            value = token.value
        if value == "exists":
            return self._made(s.Test(left.start, token.end, left, "exists", negated))
        right = self._expression(power - 1 if value in ("**", "^") else power)
        operator = _WORDS.get(value) or _SAME.get(value) or value
        if operator == "matches":
            self._pattern(right)
        node = self._made(s.Binary(left.start, right.end, operator, left, right, token.start, negated))
        return self._chained(node) if operator in _ORDERINGS else node

    def _pattern(self, node: s.Node) -> None:
        """A pattern that is written out is wrong before anything runs."""
        if isinstance(node, s.Constant) and isinstance(node.value, str):
            from domain.expressions.operators import check_pattern

            check_pattern(node.value, node.start, self.text)

    def _chained(self, node: s.Binary) -> s.Node:
        """`1 < x < 5` means `1 < x && x < 5`."""
        token = self._peek()
        if token.kind != "op" or token.value not in _ORDERINGS:
            return node
        self._take()
        right = self._expression(_COMPARE)
        second = self._made(s.Binary(node.right.start, right.end, token.value, node.right, right, token.start))
        return self._made(s.Binary(node.start, right.end, "&&", node, second, token.start))

    def _conditional(self, condition: s.Node) -> s.Node:
        yes = self._expression(0)
        self._expect(":")
        no = self._expression(_TERNARY - 1)
        return self._made(s.Conditional(condition.start, no.end, condition, yes, no))

    def _pipe(self, left: s.Node) -> s.Node:
        token = self._take()
        if token.kind != "name":
            raise self._error("a function belongs behind |", token.start, "for example: body.items | len()")
        return self._postfix(self._call(token, left.start, (left,), required=False))

    def _test(self, left: s.Node) -> s.Node:
        negated = self._accept("not")
        token = self._take()
        test = _TESTS.get(token.value) if token.kind == "name" else None
        if test is None:
            hint = did_you_mean(token.value, _TESTS) or "write == to compare values"
            raise self._error("a type such as null, string or number belongs behind is", token.start, hint)
        return self._made(s.Test(left.start, token.end, left, test, negated))

    # Operands

    def _prefix(self) -> s.Node:
        token = self._take()
        value = token.value
        if token.kind == "op" and value in ("!", "-", "+"):
            operand = self._expression(_UNARY)
            return self._made(s.Unary(token.start, operand.end, value, operand))
        if token.kind == "name" and value == "not":
            operand = self._expression(_NOT)
            return self._made(s.Unary(token.start, operand.end, "!", operand))
        if token.kind == "name" and value == "exists" and not self._ends_operand():
            operand = self._expression(_COMPARE)
            return self._made(s.Test(token.start, operand.end, operand, "exists", False))
        if token.kind == "name" and value == "let" and self._peek().kind == "name":
            return self._let(token)
        return self._postfix(self._operand(token))

    def _ends_operand(self) -> bool:
        token = self._peek()
        return token.kind == "end" or (token.kind in ("op", "name") and (token.value in _LEVELS or token.value in ")],:;}}=["))

    def _operand(self, token: Token) -> s.Node:
        match token.kind:
            case "number":
                return self._made(s.Constant(token.start, token.end, self._number(token)))
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
                closing = self._expect(")")
                return replace(inner, start=token.start, end=closing.end) if not isinstance(inner, s.Predicate) else inner
            case "[":
                return self._items(token)
            case "{":
                return self._entries(token)
            case "$":
                return self._made(s.Root(token.start, token.end))
            case "${" | "{{":
                inner = self._expression(0)
                closing = self._expect("}" if token.value == "${" else "}}")
                return replace(inner, start=token.start, end=closing.end)
            case "#" | "#index" | "#acc" | ".":
                return self._element(token)
        raise self._unexpected(token)

    def _number(self, token: Token) -> int | float:
        digits = token.value.replace("_", "")
        if digits[:2] in ("0x", "0X"):
            number: int | float = int(digits, 16)
        elif len(digits) > 400:
            raise ExpressionError("the number is too large", token.start, self.text, None, "limit")
        else:
            number = int(digits) if digits.isdigit() else float(digits)
        if number in (float("inf"),) or (isinstance(number, int) and number.bit_length() > 1024):
            raise ExpressionError("the number is too large", token.start, self.text, None, "limit")
        return number

    def _text(self, token: Token) -> s.Node:
        raw = token.value == "`"
        parts = parse_parts(self.text, token.start + 1, token.end - 1, escapes=not raw)
        if len(parts) == 1 and isinstance(parts[0], s.Constant):
            return self._made(replace(parts[0], start=token.start, end=token.end))
        self.nodes += sum(1 for part in parts for _ in s.walk(part))
        return self._made(s.Joined(token.start, token.end, parts))

    def _query(self, token: Token) -> s.Node:
        from domain.expressions.json_path import check_query

        check_query(token.value, token.start, self.text)
        return self._made(s.Query(token.start, token.end, token.value))

    def _element(self, token: Token) -> s.Node:
        if not self.comprehensions:
            shown = "." if token.value == "." else token.value
            raise self._error(
                f"{shown} has a meaning only inside a predicate", token.start, "for example: filter(items, .price > 10)"
            )
        if token.value == ".":
            self.at -= 1  # `.field` is short for `#.field`
            return self._made(s.Element(token.start, token.start, "item"))
        which = {"#index": "index", "#acc": "acc"}.get(token.value, "item")
        return self._made(s.Element(token.start, token.end, which))  # type: ignore[arg-type]

    def _name(self, token: Token) -> s.Node:
        if self._is("(") and token.value != "$":
            return self._call(token, token.start, ())
        if token.value in _LITERALS:
            return self._made(s.Constant(token.start, token.end, _LITERALS[token.value]))
        if token.value in _RESERVED:
            raise self._unexpected(token)
        return self._made(s.Name(token.start, token.end, token.value, token.value in self.locals))

    def _let(self, token: Token) -> s.Node:
        name = self._take()
        self._expect("=")
        value = self._expression(0)
        self._expect(";")
        self.locals.append(name.value)
        body = self._expression(0)
        self.locals.pop()
        return self._made(s.Let(token.start, body.end, name.value, value, body))

    def _items(self, token: Token) -> s.Node:
        items: list[s.Node] = []
        while not self._is("]"):
            items.append(self._expression(0))
            if not self._accept(","):
                break
        return self._made(s.Items(token.start, self._expect("]").end, tuple(items)))

    def _entries(self, token: Token) -> s.Node:
        entries: list[tuple[s.Node, s.Node]] = []
        while not self._is("}"):
            key = self._key()
            self._expect(":")
            entries.append((key, self._expression(0)))
            if not self._accept(","):
                break
        return self._made(s.Entries(token.start, self._expect("}").end, tuple(entries)))

    def _key(self) -> s.Node:
        token = self._take()
        if token.kind in ("name", "number"):
            return self._made(s.Constant(token.start, token.end, token.value))
        if token.kind in ("string", "text") or token.value == "(":
            return self._operand(token)
        raise self._error("a key belongs here", token.start, found=token)

    # What follows an operand

    def _postfix(self, node: s.Node) -> s.Node:
        while self._peek().kind == "op":
            if self._is(".") or self._is("?."):
                node = self._member(node, optional=self._take().value == "?.")
            elif self._is("["):
                self._take()
                node = self._index(node, optional=False)
            else:
                break
        return node

    def _member(self, node: s.Node, optional: bool) -> s.Node:
        token = self._take()
        if optional and token.value == "[" and token.kind == "op":
            return self._index(node, optional=True)
        if token.kind != "name":
            raise self._error("a name belongs behind the dot", token.start, found=token)
        if self._is("("):
            return self._call(token, node.start, (node,))
        token = self._dashed(node, token)
        key = self._made(s.Constant(token.start, token.end, token.value))
        return self._made(s.Index(node.start, token.end, node, key, optional, token.start))

    def _dashed(self, node: s.Node, token: Token) -> Token:
        """Header names have dashes: `headers.Content-Type` is one name."""
        match = _LEADING_DASH_NAME.match(self.text, token.end) if is_headers(node) else None
        if match is None:
            return token
        while self._peek().kind != "end" and self._peek().start < match.end():
            self._take()
        return token._replace(value=self.text[token.start : match.end()], end=match.end())

    def _index(self, node: s.Node, optional: bool) -> s.Node:
        low = None if self._is(":") else self._expression(0)
        if self._accept(":"):
            high = None if self._is("]") else self._expression(0)
            return self._made(s.Slice(node.start, self._expect("]").end, node, low, high))
        closing = self._expect("]")
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
        if required or self._is("("):
            self._expect("(")
            while not self._is(")"):
                predicate = name in PREDICATES and len(arguments) == 1
                arguments.append(self._predicate() if predicate else self._expression(0))
                if not self._accept(","):
                    break
            end = self._expect(")").end
        if name == "matches":
            self._pattern(arguments[-1])
        least, most = FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}" if most < 50 else f"at least {least}"
            raise self._error(f"{token.value} takes {wanted} arguments, got {len(arguments)}", token.start)
        if name == "xpath":
            self._xpath(arguments[1])
        return self._made(s.Call(start, end, name, tuple(arguments)))

    def _xpath(self, node: s.Node) -> None:
        """A query that is written out is wrong before anything runs."""
        if isinstance(node, s.Constant) and isinstance(node.value, str):
            from domain.expressions.xpath_syntax import parse_xpath

            try:
                parse_xpath(node.value)
            except Fault as fault:
                raise fault.at(node.start, self.text) from None

    def _predicate(self) -> s.Node:
        self.comprehensions += 1
        if self.comprehensions > LIMITS.comprehension_depth:
            raise self._limit(f"predicates are nested more than {LIMITS.comprehension_depth} deep")
        start = self._peek().start
        braces = self._is("{") and not (self._peek(1).kind in ("name", "string") and self._is(":", 2))
        if braces:
            self._take()
        body = self._expression(0)
        if braces:
            self._expect("}")
        self.comprehensions -= 1
        return self._made(s.Predicate(start, body.end, body))


def is_headers(node: s.Node) -> bool:
    """Whether a node names HTTP headers, whose names match in any case."""
    if isinstance(node, s.Index):
        node = node.key
    if isinstance(node, s.Constant):
        return bool(node.value == "headers")
    return isinstance(node, s.Name) and node.name == "headers"


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
