"""The function `snapshot`: a value is what it was when it was accepted; volatile parts may be left out."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

from application.engine.checks import differences
from application.excerpts import plain
from domain.errors import Invalid
from domain.expressions import ExpressionError, Told
from domain.masking import Masker

FOLDER = "__snapshots__"
_TOKEN = re.compile(r"\[secret:[0-9a-f]{6}\]")
IGNORED = "[ignored]"


class Snapshots(Protocol):
    """Keeps accepted values of one project."""

    def compare(self, file: str, name: str, value: Any) -> Sequence[str]:
        """How the value differs from the accepted one, path by path; nothing when it is the same. What is new is accepted,
        unless the run is told to accept nothing."""
        ...


class AcceptedSnapshots:
    """Values that were accepted before, of one file; nothing new is."""

    def __init__(self, content: bytes | None) -> None:
        """`content` is that of the file; None where there is none. Invalid when it is broken."""
        try:
            known = json.loads(content) if content is not None else {}
        except (ValueError, RecursionError) as error:
            raise Invalid(f"the file of snapshots is broken: {error}") from None
        self._known: Mapping[str, Any] = known if isinstance(known, dict) else {}

    def compare(self, file: str, name: str, value: Any) -> Sequence[str]:
        """How the value differs from the accepted one."""
        return differences(self._known[name], value) if name in self._known else [not_accepted(name)]


def not_accepted(name: str) -> str:
    """What is told of a value without a snapshot where new ones are not accepted."""
    return f"there is no snapshot {name!r}; accept it with --update-snapshots"


def snapshot_file(file: str) -> PurePosixPath:
    """The file of the snapshots of the flow in `file`, beside it."""
    place = PurePosixPath(file)
    return place.parent / FOLDER / f"{place.stem.strip('<>') or 'flow'}.json"


def snapshot_functions(snapshots: Snapshots, file: str, masker: Masker) -> Callable[[str], Mapping[str, Callable[..., Any]]]:
    """The function for the steps of one flow. Secrets never get into a snapshot."""

    def bind(path: str) -> Mapping[str, Callable[..., Any]]:
        def snapshot(value: Any, name: Any = None, ignore: Any = ()) -> Told:
            label = path if name is None else name
            if not isinstance(label, str) or not label.strip():
                raise ExpressionError("the name of a snapshot must be a text", kind="type")
            shown = _unmasked(plain(masker.mask(copy.deepcopy(value))))
            for query in [ignore] if isinstance(ignore, str) else ignore:
                shown = _without(shown, query)
            differences = tuple(snapshots.compare(file, label, shown))
            return Told(not differences, differences)

        return {"snapshot": snapshot}

    return bind


def _unmasked(value: Any) -> Any:
    """Tokens differ from run to run; that a secret stood there stays."""
    if isinstance(value, str):
        return _TOKEN.sub("[masked]", value)
    if isinstance(value, dict):
        return {_unmasked(key): _unmasked(item) for key, item in value.items()}
    return [_unmasked(item) for item in value] if isinstance(value, list) else value


def _without(value: Any, query: Any) -> Any:
    """The value with whatever a JSONPath (RFC 9535) selects replaced by a mark."""
    import jsonpath_rfc9535

    try:
        nodes = jsonpath_rfc9535.find(str(query), value)
    except jsonpath_rfc9535.JSONPathError as error:
        raise ExpressionError(f"not a JSONPath to ignore: {query!r:.80}: {error}", kind="value") from None
    for node in nodes:
        if not node.location:
            return IGNORED
        holder = value
        for key in node.location[:-1]:
            holder = holder[key]
        holder[node.location[-1]] = IGNORED
    return value
