"""The lexer: the text of an expression as tokens, up to its end or up to the brace that closes its template."""

from __future__ import annotations

import re
from typing import NamedTuple

from domain.expressions.errors import ExpressionError
from domain.limits import LIMITS


class Token(NamedTuple):
    """One token. kind: number, string, text (a string with templates), name, default, path, op, end."""

    kind: str
    value: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>0[xX][0-9a-fA-F]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d]\w*|\$[^\W\d]\w*)
    |(?P<element>\#(?:index\b|acc\b)?)
    |(?P<quote>["'`])
    |(?P<op>\*\*|\?\?|\?\.(?!\d)|\.\.|==|!=|<=|>=|&&|\|\||[-+*/%^<>!?:.,|()\[\]{};=$])""",
    re.VERBOSE,
)
_DEFAULT = re.compile(r"\$\{([^\W\d]\w*):(?!\s)([^}]*)\}")
_SEGMENT = re.compile(r"\.\.(?:[^\W\d]\w*+|\*|(?=\[))|\.(?:[^\W\d]\w*+(?!\s*\()|\*)|(?=\[)")
_QUOTED = {quote: re.compile(rf"{quote}(?:[^{quote}\\]|\\.)*{quote}", re.DOTALL) for quote in "\"'"} | {
    "`": re.compile("`[^`]*`")
}
_SEVERAL = re.compile(r"\.\.|\*|\?|,|:[^:\]]*:")


def lex(text: str, start: int = 0, closer: str = "") -> list[Token]:
    """The tokens from `start` on; the last one is `end`, or the `closer` ("}" or "}}") when one is asked for."""
    return _Lexer(text, start, closer).tokens()


class _Lexer:
    def __init__(self, text: str, start: int, closer: str) -> None:
        self.text = text
        self.start = start
        self.at = start
        self.closer = closer
        self.braces: list[str] = []
        self.templates: list[bool] = []
        """Of each open brace, whether it opened a template (and no map or predicate)."""
        self.found: list[Token] = []
        self.scanned = 0

    def tokens(self) -> list[Token]:
        text, size = self.text, len(self.text)
        while self.at < size:
            if self.at - self.start > LIMITS.expression_bytes:
                raise ExpressionError(
                    f"the expression is longer than {LIMITS.expression_bytes} bytes", self.start, text, None, "limit"
                )
            if self._next():
                return self.found
        if self.closer:
            opener = "${" if self.closer == "}" else "{{"
            raise ExpressionError(
                f"the template is never closed: {self.closer} is missing", max(self.start - 2, 0), text, _literal_hint(opener)
            )
        self._add("end", "", self.at)
        return self.found

    def _next(self) -> bool:
        """Read one token; True when it closes the template."""
        text, at = self.text, self.at
        character = text[at]
        if character in "{}" or (character == "$" and text.startswith("${", at)):
            return self._brace(character)
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"unexpected character {character!r}", at, text, _character_hint(character))
        kind = match.lastgroup or ""
        if kind == "space":
            self.at = match.end()
        elif kind == "quote":
            self._string(character)
        elif character == "$" and kind == "op":
            self._path()
        else:
            self._add("op" if kind == "element" else kind, match.group(), match.end())
        return False

    def _brace(self, character: str) -> bool:
        text, at = self.text, self.at
        if character == "$":
            default = _DEFAULT.match(text, at)
            if default:
                self._add("default", default.group(), default.end())
                return False
            self.braces.append("}")
            self.templates.append(True)
            self._add("op", "${", at + 2)
        elif character == "{":
            double = text.startswith("{{", at)
            self.braces.append("}}" if double else "}")
            self.templates.append(double)
            self._add("op", "{{" if double else "{", at + 1 + double)
        else:
            return self._close()
        return False

    def _close(self) -> bool:
        closer = self.braces[-1] if self.braces else self.closer
        if not closer:
            raise ExpressionError("this } closes nothing", self.at, self.text)
        if not self.text.startswith(closer, self.at):
            raise ExpressionError("a template that {{ opens is closed by }}", self.at, self.text)
        self._add("op", closer, self.at + len(closer))
        if not self.braces:
            return True
        self.braces.pop()
        self.templates.pop()
        return False

    def _string(self, quote: str) -> None:
        match = _QUOTED[quote].match(self.text, self.at)
        if self.closer or any(self.templates):
            plain = True  # inside a template a string is plain: {{ '{{' }} is the literal
        else:
            body = match.group() if match else self.text[self.at :]
            plain = "${" not in body and "{{" not in body
        if plain:
            if match is None:
                raise self._open_string(quote)
            self._add("string", match.group(), match.end())
        else:
            self._add("text", quote, self._text_end(quote))

    def _text_end(self, quote: str) -> int:
        """Where a string with templates ends; a template in it may hold quotes of its own."""
        text, at = self.text, self.at + 1
        while at < len(text):
            if text[at] == quote:
                return at + 1
            if text[at] == "\\" and quote != "`":
                at += 2
            elif text.startswith("$${", at):
                at += 3
            elif text.startswith(("${", "{{"), at):
                at = template_end(text, at)
            else:
                at += 1
        raise self._open_string(quote)

    def _open_string(self, quote: str) -> ExpressionError:
        return ExpressionError(f"the string is never closed: {quote} is missing", self.at, self.text)

    def _path(self) -> None:
        """`$`: alone when ordinary access can follow it, with its whole path when that may select several values."""
        text, at = self.text, self.at + 1
        while segment := _SEGMENT.match(text, at):
            at = segment.end()
            if text.startswith("[", at):
                if not _is_selector(text[at + 1 : at + 20].lstrip()):
                    break
                at = self._bracket_end(at)
        query = text[self.at : at]
        if not _SEVERAL.search(_without_strings(query)):
            self._add("op", "$", self.at + 1)
            return
        if query.endswith(".length") and not query.endswith("..length"):
            query = query[: -len(".length")]
        self._add("path", query, self.at + len(query))

    def _bracket_end(self, start: int) -> int:
        text, depth, at = self.text, 0, start
        while at < len(text):
            quoted = _QUOTED[text[at]].match(text, at) if text[at] in "\"'" else None
            if quoted:
                at = quoted.end()
                continue
            depth += (text[at] in "[(") - (text[at] in "])")
            at += 1
            if depth == 0:
                self._count(at - start)
                return at
        raise ExpressionError("the bracket is never closed: ] is missing", start, text)

    def _count(self, characters: int) -> None:
        """Nested paths are read again from each of their roots: bounded, so that the time stays linear."""
        self.scanned += characters
        if self.scanned > 4 * LIMITS.expression_bytes:
            raise ExpressionError("the paths of the expression are too deeply nested", self.start, self.text, None, "limit")

    def _add(self, kind: str, value: str, end: int) -> None:
        self.found.append(Token(kind, value, self.at, end))
        self.at = end


def template_end(text: str, start: int) -> int:
    """The offset behind a template that opens at `start` with `${` or `{{`."""
    default = _DEFAULT.match(text, start)
    if default:
        return default.end()
    return lex(text, start + 2, "}" if text[start] == "$" else "}}")[-1].end


def default_of(source: str) -> tuple[str, str] | None:
    """The name and the text of `${NAME:text}`, if that is what the source is."""
    match = _DEFAULT.fullmatch(source)
    return (match[1], match[2]) if match else None


def _without_strings(query: str) -> str:
    for pattern in (_QUOTED['"'], _QUOTED["'"]):
        query = pattern.sub("''", query)
    return query


def _is_selector(inside: str) -> bool:
    """Whether brackets that begin so hold a JSONPath selector rather than an expression such as a variable."""
    return inside[:1] in ("?", "*", "'", '"', "-", ":") or inside[:1].isdigit()


def _literal_hint(opener: str) -> str:
    return "write $${ for a literal ${" if opener == "${" else "write {{ '{{' }} for a literal {{"


def _character_hint(character: str) -> str | None:
    return {"&": "write && or and", "\\": "backslashes belong inside strings", "@": "write # for the element"}.get(character)
