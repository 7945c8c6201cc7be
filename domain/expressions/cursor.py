"""A place among the tokens of an expression: what stands there, what is taken next, and how errors about it are told."""

from __future__ import annotations

from domain.expressions.errors import ExpressionError, did_you_mean
from domain.expressions.lexer import Token, lex
from domain.expressions.precedence import WORDS


class Cursor:
    """Stands at a token of the expression that begins at `start` of a text, and goes forward."""

    def __init__(self, text: str, start: int = 0, closer: str = "") -> None:
        self.text = text
        self.start = start
        self.closer = closer
        self.tokens = lex(text, start, closer)
        self.at = 0

    @property
    def end(self) -> int:
        """The offset behind the expression and its closer."""
        return self.tokens[-1].end

    def peek(self, ahead: int = 0) -> Token:
        """The token here, or so many further on."""
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def take(self) -> Token:
        """The token here; the next one is looked at from now on."""
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def sees(self, value: str, ahead: int = 0) -> bool:
        """Whether this operator or word stands here, or so many further on."""
        token = self.peek(ahead)
        return token.value == value and token.kind in ("op", "name")

    def accept(self, value: str) -> bool:
        """Take this operator or word if it stands here; whether it did."""
        if self.sees(value):
            self.take()
            return True
        return False

    def expect(self, value: str) -> Token:
        """Take this operator or word. ExpressionError when something else stands here."""
        if not self.sees(value):
            raise self.error(f"expected {value} here", self.peek().start, found=self.peek())
        return self.take()

    def error(self, message: str, offset: int, hint: str | None = None, found: Token | None = None) -> ExpressionError:
        """An error at an offset of the text; `found` is what stands there instead."""
        if found is not None:
            message += ", but the expression ends" if found.kind == "end" else f", found {found.value}"
        return ExpressionError(message, offset, self.text, hint)

    def unexpected(self, token: Token) -> ExpressionError:
        """An error about a token that nothing allows here."""
        if token.kind == "end":
            return self.error("the expression ends too early", token.start)
        hint = "write == to compare" if token.value == "=" else None
        if token.kind == "name":
            hint = did_you_mean(token.value, [*WORDS, "and", "or", "not", "is", "exists"])
        return self.error(f"unexpected {token.value}", token.start, hint)

    def limit(self, message: str) -> ExpressionError:
        """An error about an expression that is too large."""
        return ExpressionError(message, self.start, self.text, "split it into smaller expressions", "limit")
