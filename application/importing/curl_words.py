"""Words of shells: the commands in a text as bash splits them (POSIX quoting, `$'..'`), and as cmd.exe does with `^`."""

from __future__ import annotations

import re

from application.importing.text import clean
from domain.errors import Invalid, LimitExceeded
from domain.limits import LIMITS

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|x([0-9a-fA-F]{1,2})|([0-7]{1,3})|c(.)|(.)|$)", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ENDS = frozenset("|&;<>()")
_CMD = re.compile(r"\^(?:\r?\n|[\"&|<>%!^])")


def commands(text: str) -> list[list[str]]:
    """The words of each command, `curl` first. What stands between commands (pipes, other programs) is left out.

    Invalid for quotes that are never closed; LimitExceeded for a text that is too long.
    """
    if len(text) > LIMITS.document_bytes:
        raise LimitExceeded(f"the commands have {len(text):,} characters; at most {LIMITS.document_bytes:,} are read")
    if _is_cmd(text):
        text = _without_carets(text)
        listed = _Splitter(text, posix=False).commands()
    else:
        listed = _Splitter(text, posix=True).commands()
    found = [command[command.index(name) :] for command in listed for name in command[:4] if _is_curl(name)]
    return [[clean(word) for word in command] for command in found]


def _is_curl(word: str) -> bool:
    return re.split(r"[/\\]", word)[-1].lower() in ("curl", "curl.exe")


def _is_cmd(text: str) -> bool:
    """Whether a text was copied for cmd.exe: lines continued with a caret, or quotes escaped with one."""
    return _CMD.search(text) is not None and "'" not in text.split("http", 1)[0]


def _without_carets(text: str) -> str:
    """The text after cmd.exe has taken its carets, which count outside of quotes only: `^` and a line end continue the line,
    and stand for a line end when an empty line follows."""
    made, quoted, at = [], False, 0
    text = text.replace("\r\n", "\n")
    while at < len(text):
        character = text[at]
        if character == "^" and not quoted:
            at += 1
            if text.startswith("\n", at):
                at += 1
            character = text[at : at + 1]
        elif character == '"':
            quoted = not quoted
        made.append(character)
        at += 1
    return "".join(made)


class _Splitter:
    """One pass over the text; a `#` that begins a word is a comment up to the end of its line."""

    def __init__(self, text: str, posix: bool) -> None:
        self._text = text
        self._posix = posix
        self._at = 0
        self._word: list[str] | None = None
        self._words: list[str] = []
        self._done: list[list[str]] = []

    def commands(self) -> list[list[str]]:
        text = self._text
        while self._at < len(text):
            self._next(text[self._at])
        self._end_command()
        return self._done

    def _next(self, character: str) -> None:
        if character == "\\" and self._posix:
            self._backslash()
        elif character == "'" and self._posix:
            self._add(self._until("'"))
        elif character == '"':
            self._double()
        elif self._posix and self._text.startswith(("$'", '$"'), self._at):
            self._dollar()
        elif character.isspace():
            self._blank(character)
        elif character in _ENDS and self._posix:
            self._at += 1
            self._end_command()
        elif character == "#" and self._word is None:
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end
        else:
            self._add(character)
            self._at += 1

    def _blank(self, character: str) -> None:
        self._at += 1
        self._end_word()
        if character == "\n":
            self._end_command()

    def _backslash(self) -> None:
        following = self._text[self._at + 1 : self._at + 3]
        if following.startswith(("\n", "\r\n")):
            self._at += 2 + following.startswith("\r")
            return
        self._add(following[:1])
        self._at += 2

    def _until(self, quote: str) -> str:
        """The content up to the quote; moves behind it."""
        end = self._text.find(quote, self._at + 1)
        if end < 0:
            raise self._open()
        content = self._text[self._at + 1 : end]
        self._at = end + 1
        return content

    def _double(self) -> None:
        self._add("")
        at, text = self._at + 1, self._text
        while at < len(text) and text[at] != '"':
            if text[at] == "\\" and at + 1 < len(text):
                escaped = text[at + 1]
                keeps = escaped not in ('"\\$`\n' if self._posix else '"\\')
                self._add(("\\" if keeps else "") + ("" if escaped == "\n" and not keeps else escaped))
                at += 2
            elif not self._posix and text.startswith('""', at):
                self._add('"')
                at += 2
            else:
                self._add(text[at])
                at += 1
        if at >= len(text):
            raise self._open()
        self._at = at + 1

    def _dollar(self) -> None:
        """`$'..'`, with the escapes of ANSI C (bash, chapter 3.1.2.4); `$".."` is a translated string, taken as it is."""
        self._at += 1
        if self._text[self._at] == '"':
            return self._double()
        end = self._at + 1
        while end < len(self._text) and self._text[end] != "'":
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise self._open()
        self._add(_ansi(self._text[self._at + 1 : end]))
        self._at = end + 1
        return None

    def _add(self, text: str) -> None:
        if self._word is None:
            self._word = []
        self._word.append(text)

    def _end_word(self) -> None:
        if self._word is not None:
            self._words.append("".join(self._word))
            self._word = None

    def _end_command(self) -> None:
        self._end_word()
        if self._words:
            self._done.append(self._words)
            self._words = []

    def _open(self) -> Invalid:
        line = self._text.count("\n", 0, self._at) + 1
        return Invalid(f"a quote in line {line} is never closed", remedy="copy the whole command")


def _ansi(text: str) -> str:
    """Escapes resolved; `\\x..` and octal ones name bytes, which are read as UTF-8 together."""

    def meaning(found: re.Match[str]) -> str:
        if found[1] or found[2]:
            code = int(found[1] or found[2], 16)
            return chr(code) if code <= 0x10FFFF else "\ufffd"
        if found[3] or found[4]:
            byte = int(found[3], 16) if found[3] else int(found[4], 8) & 0xFF
            return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)
        if found[5]:
            return chr(ord(found[5]) & 0x1F)
        letter = found[6] or ""
        return _SIMPLE.get(letter, letter if letter in "\\'\"?" else "\\" + letter)

    made = _ESCAPE.sub(meaning, text)
    pairs = re.sub(
        "[\ud800-\udbff][\udc00-\udfff]", lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), made
    )
    return pairs.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if _bytes_only(pairs) else pairs


def _bytes_only(text: str) -> bool:
    """Whether every lone surrogate stands for a byte, so that they can be read as UTF-8."""
    return all(not "\ud800" <= character <= "\udfff" or "\udc80" <= character <= "\udcff" for character in text)
