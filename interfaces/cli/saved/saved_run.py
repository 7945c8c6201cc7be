"""Saved runs: `run.tmrun` is a zip of `meta.json`, `events.jsonl` and `sources/N.yaml`, the same bytes for the same run.

meta.json: {"format": "testmesh-run", "version": 1, "testmesh": version, "begun": time, "ended": time, "executions": n,
"masked": whether secrets learned late are masked in all events, "secret_names": [variables that are not recorded],
"repeated": {execution: its repetition}, "skipped": [[flow, why]], "sources": [file names, the n-th for sources/n.yaml],
"left_out": [what is not in here]}. events.jsonl: one event a line, as in the feed: {"feed_id", "execution", "version",
"topic", "at", "event"}, each execution's own in order. Names of flow files are data; they are never used as paths.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from domain.errors import Unavailable
from domain.limits import LIMITS
from domain.masking import Masker
from interfaces.cli.reports.model import Collected
from interfaces.cli.terminal import counted

FORMAT = "testmesh-run"
VERSION = 1
META, EVENTS = "meta.json", "events.jsonl"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEVEL = 6


def source_entry(number: int) -> str:
    """The entry of the n-th source, from 1."""
    return f"sources/{number}.yaml"


def save_run(
    path: Path, executions: Collected, sources: Mapping[str, str], runner: Any, *, secret_names: tuple[str, ...] = ()
) -> None:
    """Write it, in place of what was there once it is whole. Unavailable when it cannot be written."""
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            _fill(archive, executions, sources, runner, secret_names)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise Unavailable(f"the saved run {path} cannot be written: {error.strerror}") from error


def _fill(
    archive: zipfile.ZipFile, executions: Collected, sources: Mapping[str, str], runner: Any, secret_names: tuple[str, ...]
) -> None:
    shortened = 0
    with archive.open(_entry(EVENTS), "w", force_zip64=True) as file:
        for execution in executions.everything():
            shortened += sum(step.shortened for step in execution.steps)
            for event in execution.events:
                file.write(orjson.dumps(_portable(event, runner), option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS))
    names = sorted(sources)[: LIMITS.saved_run_sources]
    for number, name in enumerate(names, 1):
        archive.writestr(_entry(source_entry(number)), sources[name].encode("utf-8", "replace"))
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "testmesh": _version(),
        "begun": executions.begun,
        "ended": executions.ended,
        "executions": len(executions),
        "masked": runner.masks_all,
        "secret_names": sorted(secret_names),
        "repeated": executions.repeated,
        "skipped": runner.masked([list(pair) for pair in executions.skipped]),
        "sources": [runner.masked(name) for name in names],
        "left_out": list(_left_out(shortened, len(sources) - len(names))),
    }
    archive.writestr(_entry(META), orjson.dumps(meta, option=orjson.OPT_INDENT_2))


def _portable(event: Mapping[str, Any], runner: Any) -> dict[str, Any]:
    """The event without what only its own run can use, all secrets masked that the run came to know."""
    data = dict(event["event"])
    if event["topic"] == "execution.requested":
        data.pop("document", None)
        data["variables"] = Masker(b"").mask(data.get("variables") or {}, sensitive_keys=True)
    data.pop("state", None)
    return {**event, "event": runner.masked(data)}


def _left_out(shortened: int, sources: int) -> Iterator[str]:
    if shortened:
        yield f"whole results and exchanges of {counted(shortened, 'step')} that were too big for an event; excerpts are here"
    if sources:
        yield f"{sources} texts of flows"


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o600 << 16
    return info


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("testmesh")
    except PackageNotFoundError:
        return ""
