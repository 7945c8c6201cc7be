"""Text for terminals and pipes: colours, width, control characters made visible, and readers that go away."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from domain.columns import columns

_SYMBOLS = {
    "passed": ("✓", "32"),
    "passed_on_retry": ("✓", "33"),
    "tolerated": ("!", "33"),
    "skipped": ("-", "2"),
    "failed": ("✗", "31"),
    "error": ("✗", "31"),
    "timed_out": ("✗", "31"),
    "cancelled": ("✗", "33"),
    "lost": ("✗", "33"),
    "queued": ("·", "2"),
    "running": ("…", "0"),
    "owes teardown": ("…", "0"),
}
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Paint:
    """Colours where they are wanted; words and symbols say the same without."""

    def __init__(self, stream: TextIO, wanted: bool | None = None) -> None:
        self.on = colour_wanted(stream) if wanted is None else wanted

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on else text

    def verdict(self, verdict: str) -> str:
        """Symbol and word."""
        symbol, code = _SYMBOLS.get(verdict, ("?", "0"))
        return self(f"{symbol} {verdict.replace('_', ' ')}", code)


def colour_wanted(stream: TextIO) -> bool:
    """NO_COLOR, FORCE_COLOR, TERM=dumb and the kind of stream, in that order (no-color.org, force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """The text with its control characters written out, such as `\\x1b`: what a flow or a server says must not steer the
    terminal. Line ends and tabs stay."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """As printable, with line ends and tabs written out as well."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def counted(number: int, noun: str) -> str:
    """`1 flow`, `2 flows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def cut(line: str, width: int) -> str:
    """The line within `width` columns; colours take none, wide characters take two."""
    parts = _COLOUR.split(line)
    if sum(columns(part) for part in parts[::2]) < width:
        return line
    kept, left = [], width - 2
    for place, part in enumerate(parts):
        if place % 2:
            kept.append(part)
            continue
        for character in part:
            left -= columns(character)
            if left < 0:
                return "".join(kept) + "…" + ("\x1b[0m" if len(parts) > 1 else "")
            kept.append(character)
    return "".join(kept)


def size_of(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of the terminal behind a stream; 80 and 24 where there is none."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    return size.columns or 80, size.lines or 24


def say(text: str, stream: TextIO, end: str = "\n") -> None:
    """Write and flush; a reader that went away ends nothing but the writing."""
    with patient(stream):
        stream.write(text + end)


@contextmanager
def patient(stream: TextIO) -> Iterator[None]:
    """Within it, a broken pipe silences the stream instead of ending the program. Unavailable when the disk is full."""
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        silence(stream)
    except OSError as error:
        from domain.errors import Unavailable

        silence(stream)
        raise Unavailable(f"the output cannot be written: {error.strerror}") from error


def silence(stream: TextIO) -> None:
    """Send what is still written there nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def prepare_streams() -> None:
    """Characters that the terminal's encoding has not are written out, and what goes to a closed stream goes nowhere,
    instead of ending the program."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
