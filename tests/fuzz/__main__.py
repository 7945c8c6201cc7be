"""Coverage-guided fuzzing: `python -m tests.fuzz TARGET [--seconds N] [--seed N]`. A text may be refused in the ways that are
documented, with a place inside it, within its budget; anything else is a bug, and the text that shows it is printed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["domain", "application"]):
    from application.actions.registry import ACTIONS
    from application.documents.formatting import format_flow
    from application.flow_documents import normalised, read_flow
    from domain.errors import Invalid, InvalidFlow
    from domain.expressions import ExpressionError, Scope, evaluate, extract, render

NAMES = {
    "status": 200,
    "body": {"id": 7, "items": [{"a": 1}, {"a": 2.5}]},
    "headers": {"Content-Type": "x"},
    "name": "ada",
    "l": [1, None],
}
ROOT = Path(__file__).parents[2]
SLOW_SECONDS = 3.0
"""Far above what any budget allows, also on a busy machine with instrumented code."""


def expression(text: str) -> None:
    """An expression has a value, or an error inside the text."""
    _located(text, lambda: evaluate(text, Scope(NAMES, result=NAMES)))


def template(text: str) -> None:
    """A template renders, or has an error inside the text."""
    _located(text, lambda: render(text, Scope(NAMES, result=NAMES)))


def output_path(text: str) -> None:
    """An output path finds something, or has an error."""
    _located(text, lambda: extract(text, Scope(NAMES, result=NAMES)))


def document(text: str) -> None:
    """A document is a flow, or has problems with a place each; a flow survives formatting."""
    try:
        read_flow(text, actions=ACTIONS)
    except InvalidFlow as invalid:
        lines = text.count("\n") + 2
        assert invalid.problems
        assert all(1 <= problem.line <= lines + text.count("\r") + 8 and problem.column >= 1 for problem in invalid.problems)
        return
    try:
        made = format_flow(text)
    except Invalid:
        return
    assert normalised(made) == normalised(text)


def _located(text: str, compute: Callable[[], object]) -> None:
    try:
        compute()
    except ExpressionError as error:
        assert error.message
        assert 0 <= error.offset <= len(error.text) or not error.text


TARGETS: Mapping[str, Callable[[str], None]] = {
    "expression": expression,
    "template": template,
    "output_path": output_path,
    "document": document,
}


def main() -> None:
    """Fuzz one target for a bounded time; a bug ends the process with its text."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    target = TARGETS[options.target]

    def once(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape" if options.target == "document" else "replace")
        begun = time.monotonic()
        try:
            target(text)
        except BaseException:
            print(f"\n{options.target} fails on: {text!r}", file=sys.stderr)
            raise
        assert time.monotonic() - begun < SLOW_SECONDS, f"{options.target} takes too long on: {text!r}"

    longest = 4000 if options.target == "document" else 400
    flags = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-max_len={longest}", "-timeout=30"]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(_seeds(options.target)):
            Path(corpus, str(number)).write_text(seed)
        atheris.Setup([sys.argv[0], *flags, "-rss_limit_mb=2048", corpus], once)
        atheris.Fuzz()


def _seeds(target: str) -> Iterator[str]:
    """Where fuzzing begins: expressions with known answers, and the flows of the examples."""
    if target == "document":
        yield from (path.read_text() for path in sorted((ROOT / "examples").rglob("*.yaml")))
        return
    table = json.loads((ROOT / "tests/domain/expressions/expr_lang.json").read_text())
    for expression, _ in table["answers"]:
        yield f"a ${{{expression}}} {{{{ {expression} }}}}" if target == "template" else expression


if __name__ == "__main__":
    main()
