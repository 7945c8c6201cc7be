"""Expressions of JavaScript as trees (ECMA-262, section 13), read without running anything."""

from __future__ import annotations

import re
from collections.abc import Iterator

from application.importing.javascript import closing, string, string_end, unescaped
from application.importing.javascript_tree import (
    Arrow,
    Call,
    Constant,
    Entries,
    Items,
    Member,
    Name,
    Node,
    Operation,
    Pattern,
    Texts,
)

_DEPTH = 40
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+))"
    r"|(?P<name>[A-Za-z_$][\w$]*)"
    r"|(?P<quote>['\"`])"
    r"|(?P<op>===|!==|\*\*|=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.(?!\d)|\.\.\.|[-+*/%<>!?:.,()\[\]{};=~&|^]))"
)
_REGEX = re.compile(r"\s*/((?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)/([a-z]*)")
_BINARY = {
    "??": 1, "||": 2, "&&": 3, "==": 4, "!=": 4, "===": 4, "!==": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "instanceof": 5, "in": 5,
    "+": 6, "-": 6, "*": 7, "/": 7, "%": 7,
}  # fmt: skip
_CONSTANTS = {"true": True, "false": False, "null": None}
_WORDS = "async await class delete do else for function if let const var return switch throw try void while yield"
_UNSUPPORTED = frozenset(
    {"async", "await", "class", "delete", "do", "else", "for", "function", "if", "let", "const", "var", "return", "switch"}
    | {"throw", "try", "void", "while", "yield"}
)


class NotRead(ValueError):
    """A form that this reader does not know."""


def read_expression(text: str) -> Node | None:
    """The tree of an expression; None for what is none, or has a form that is not read."""
    try:
        reader = _Reader(text)
        node = reader.expression()
        return node if reader.at_end() else None
    except (NotRead, RecursionError):
        return None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def at_end(self) -> bool:
        return not self._text[self._at :].strip().strip(";").strip()

    def expression(self, least: int = 0) -> Node:
        """An expression whose operators bind at least so tightly; 0 includes `?:` and functions."""
        self._depth += 1
        if self._depth > _DEPTH:
            raise NotRead
        function = self._function() if least == 0 else None
        node = function or self._operators(self._unary(), max(least, 1))
        if least == 0 and function is None and self._takes("?"):
            yes = self.expression()
            self._need(":")
            node = Operation("?", (node, yes, self.expression()))
        self._depth -= 1
        return node

    def _operators(self, node: Node, least: int) -> Node:
        while True:
            operator = self._peek()
            level = _BINARY.get(operator, 0)
            if level < least:
                return node
            self._take()
            node = Operation(operator, (node, self.expression(level + 1)))

    def _unary(self) -> Node:
        operator = self._peek()
        if operator in ("!", "-", "+", "typeof"):
            self._take()
            self._depth += 1
            if self._depth > _DEPTH:
                raise NotRead
            made = Operation(operator, (self._unary(),))
            self._depth -= 1
            return made
        return self._followed(self._operand())

    def _operand(self) -> Node:
        if pattern := _REGEX.match(self._text, self._at):
            self._at = pattern.end()
            return Pattern(pattern[1], pattern[2])
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise NotRead
        if match["quote"]:
            return self._quoted(match.start("quote"))
        self._at = match.end()
        if match["number"]:
            return Constant(_number(match["number"]))
        if match["name"]:
            return self._named(match["name"])
        if match["op"] == "(":
            node = self.expression()
            self._need(")")
            return node
        if match["op"] == "[":
            return Items(tuple(self._listed("]")))
        if match["op"] == "{":
            return Entries(tuple(self._entries()))
        raise NotRead

    def _named(self, name: str) -> Node:
        if name in _CONSTANTS:
            return Constant(_CONSTANTS[name])
        if name == "new":
            return self._made()
        if name in _UNSUPPORTED:
            raise NotRead
        return Name(name)

    def _made(self) -> Node:
        match = re.compile(r"\s*([A-Za-z_$][\w$]*)\s*").match(self._text, self._at)
        if match is None:
            raise NotRead
        self._at = match.end()
        return Call(Name(f"new {match[1]}"), tuple(self._listed(")")) if self._takes("(") else ())

    def _followed(self, node: Node) -> Node:
        while True:
            operator = self._peek()
            if operator in (".", "?."):
                self._take()
                if operator == "?." and self._peek() in ("[", "("):
                    continue
                match = re.compile(r"\s*([A-Za-z_$][\w$]*)").match(self._text, self._at)
                if match is None:
                    raise NotRead
                self._at = match.end()
                node = Member(node, Constant(match[1]), operator == "?.")
            elif operator == "[":
                self._take()
                node = Member(node, self.expression())
                self._need("]")
            elif operator == "(":
                self._take()
                node = Call(node, tuple(self._listed(")")))
            else:
                return node

    def _listed(self, end: str) -> Iterator[Node]:
        while not self._takes(end):
            yield self.expression()
            if not self._takes(","):
                self._need(end)
                return

    def _entries(self) -> Iterator[tuple[str, Node]]:
        while not self._takes("}"):
            match = re.compile(r"\s*([A-Za-z_$][\w$]*|\d+)\s*(?=[:,}])").match(self._text, self._at)
            if match is not None:
                key, self._at = match[1], match.end()
            else:
                literal = self._operand()
                if not isinstance(literal, Constant) or not isinstance(literal.value, str):
                    raise NotRead
                key = literal.value
            yield key, self.expression() if self._takes(":") else Name(key)
            if not self._takes(","):
                self._need("}")
                return

    def _quoted(self, at: int) -> Node:
        end = string_end(self._text, at)
        whole = self._text[at:end]
        self._at = end
        if (found := string(whole)) is not None:
            return Constant(found)
        if whole[0] != "`" or whole[-1] != "`":
            raise NotRead
        return Texts(tuple(self._parts(whole[1:-1])))

    def _parts(self, text: str) -> Iterator[Node]:
        at = 0
        for match in re.finditer(r"\\.|\$\{([^{}`]*)\}", text, re.DOTALL):
            if match[1] is None:
                continue
            yield Constant(unescaped(text[at : match.start()]))
            inner = read_expression(match[1])
            if inner is None:
                raise NotRead
            yield inner
            at = match.end()
        rest = text[at:]
        if re.search(r"(?<!\\)\$\{", rest):
            raise NotRead
        yield Constant(unescaped(rest))

    def _function(self) -> Node | None:
        """`x => ...`, `(x, y) => ...` and `function (x) {...}`, where one begins here."""
        match = re.compile(r"\s*(?:function\s*\w*\s*\(([\w$\s,]*)\)|(?:\(([\w$\s,]*)\)|([A-Za-z_$][\w$]*))\s*=>)\s*").match(
            self._text, self._at
        )
        if match is None:
            return None
        names = next((group for group in match.groups() if group is not None), "")
        parameters = tuple(name.strip() for name in names.split(",") if name.strip())
        self._at = match.end()
        if not self._text.startswith("{", self._at):
            return Arrow(parameters, self.expression())
        end = _block_end(self._text, self._at)
        block = self._text[self._at + 1 : end].strip()
        self._at = end + 1
        returned = re.fullmatch(r"return\b(.*?);?", block, re.DOTALL)
        return Arrow(parameters, read_expression(returned[1]) if returned else None, "" if returned else block)

    def _peek(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        return (match["op"] or match["name"] or "") if match else ""

    def _take(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _takes(self, operator: str) -> bool:
        found = self._peek() == operator
        if found:
            self._take()
        return found

    def _need(self, operator: str) -> None:
        if not self._takes(operator):
            raise NotRead


def _block_end(text: str, at: int) -> int:
    end = closing(text, at)
    if end is None:
        raise NotRead
    return end


def _number(text: str) -> int | float:
    if text[:2].lower() == "0x":
        return int(text, 16)
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
