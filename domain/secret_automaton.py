"""One automaton for all forms of all secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from domain.limits import MIB

AUTOMATON_BYTES = 128 * MIB
"""What the automaton of all secrets may grow to, as it meets text; beyond that it becomes slow."""

_NOTHING = rb"(?!)"
"""Matches nowhere."""


def automaton(forms: Iterable[bytes], patterns: Iterable[str], memory: int = AUTOMATON_BYTES) -> Any:
    """An expression of literals and of patterns, of which the longest wins. Secrets of megabytes are too much for RE2; `re`
    takes them as literals, slowly, and knows no patterns.

    RE2 makes a trie of literals that stand in alphabetic order: without it, its states would be a hundred times larger.
    """
    import re2  # loaded only when there is a secret

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = memory
    options.longest_match = True
    options.never_capture = True
    options.log_errors = False
    try:
        # Not re2.compile, nor re.compile: their caches would keep the secrets of executions that ended long ago.
        literals = map(re2.escape, sorted(forms))
        return re2._Regexp(b"|".join((*literals, *(pattern.encode() for pattern in patterns))), options)
    except re2.error:
        return re.compile(b"|".join(map(re.escape, sorted(forms, key=len, reverse=True))) or _NOTHING)
