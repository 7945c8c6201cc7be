"""HTML: one file that shows a run without asking anybody for anything: data as JSON, shown on demand by a small script."""

from __future__ import annotations

import base64
import hashlib
import html as markup
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from itertools import chain
from typing import Any

import orjson

from interfaces.cli.reports.html_data import Budget, execution_data, index_entry
from interfaces.cli.reports.model import PASSED, Collected, Execution
from interfaces.cli.terminal import one_line

EXECUTIONS = 10_000
"""Entries of the list; failures come first."""
REPORT_BYTES = 64 * 1024 * 1024
"""Steps of all executions together; of those beyond, the list alone remains."""
NOTES = 50


def html(executions: Collected, sources: Mapping[str, str]) -> Iterator[bytes]:
    """The page: head, one JSON element an execution, the list, and the script at the end."""
    page = resources.files("interfaces.cli.reports").joinpath("page")
    style, script = (page.joinpath(name).read_text() for name in ("report.css", "report.js"))
    head = page.joinpath("report.html").read_text()
    for name, text in _head(executions, style, script).items():
        head = head.replace(f"@{name}@", text)
    yield head.encode("utf-8", "replace")
    entries: list[dict[str, Any]] = []
    budget = Budget(REPORT_BYTES)
    for execution in _worst_first(executions):
        if len(entries) == EXECUTIONS:
            break
        entries.append(index_entry(execution, len(entries), executions.repeated.get(execution.id)))
        data = embedded(execution_data(execution, sources))
        if budget.take(len(data)):
            yield b'<script type="application/json" id="x-%d">%b</script>\n' % (len(entries) - 1, data)
    left_out = len(executions) + len(executions.repeated) - len(entries)
    yield b'<script type="application/json" id="index">'
    yield embedded({"executions": entries, "left_out": max(0, left_out)})
    yield f"</script>\n<script>{script}</script>\n</body>\n</html>\n".encode()


def embedded(value: Any) -> bytes:
    """JSON for a script element: no `<` in it, so that nothing in it ends the element or opens a comment (HTML 4.12.1.3)."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).replace(b"<", b"\\u003c")


def _worst_first(executions: Collected) -> Iterable[Execution]:
    good = (id for id, verdict, _, _ in executions.ends() if verdict in PASSED)
    found = (executions.find(id) for id in good)
    return chain(executions.bad(), executions.superseded(), (one for one in found if one is not None))


def _head(executions: Collected, style: str, script: str) -> dict[str, str]:
    counts = Counter(verdict or "unfinished" for _, verdict, _, _ in executions.ends())
    if executions.skipped:
        counts["skipped"] = len(executions.skipped)
    said = [f'<span class="verdict {name}">{number} {name.replace("_", " ")}</span>' for name, number in counts.items()]
    bad = any(verdict not in (*PASSED, "skipped") for verdict in counts)
    about = []
    if executions.begun and executions.ended:
        about = [
            f"{(executions.ended - executions.begun).total_seconds():.2f} s",
            f"begun {executions.begun:%Y-%m-%d %H:%M:%S %Z}",
        ]
    seed = next((one.seed for one in executions), "")
    return {
        "CSP": markup.escape(_policy(style, script)),
        "TITLE": f"TestMesh: {'failed' if bad else 'passed' if counts else 'nothing was run'}",
        "CSS": style,
        "COUNTS": ", ".join(said) or "nothing was run",
        "ABOUT": markup.escape(", ".join([*about, f"seed of the first {seed}" if seed else ""]).strip(", ")),
        "NOTES": "".join(f"<p>{markup.escape(note)}</p>\n" for note in _notes(executions)),
    }


def _notes(executions: Collected) -> Iterator[str]:
    for name, why in executions.skipped[:NOTES]:
        yield one_line(f"skipped: {name}: {why}")
    if len(executions.skipped) > NOTES:
        yield f"and {len(executions.skipped) - NOTES} more skipped"


def _policy(style: str, script: str) -> str:
    """Nothing is loaded, sent, framed or run but this very style and script (CSP 3)."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
