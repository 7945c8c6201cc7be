"""Definitions by their pinned documents: read once a process, however many executions run them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from application.engine.action import Action
from application.flow_documents import read_flow, teardown_reads
from application.payloads import Payloads, Reference
from domain.definition import FlowDefinition
from domain.values import dataclass

KEPT = 256
"""Definitions that are kept; documents are bounded, so this bounds the memory too."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pinned:
    """A definition, and the names that its teardown reads."""

    definition: FlowDefinition
    teardown_reads: frozenset[str]

    @classmethod
    def of(cls, definition: FlowDefinition) -> Pinned:
        """The definition with what follows from it."""
        return cls(definition, teardown_reads(definition))


class Definitions:
    """Reads the documents that executions are pinned to. A reference is the content's own hash, so nothing grows stale."""

    def __init__(self, payloads: Payloads, actions: Mapping[str, Action]) -> None:
        self._payloads = payloads
        self._actions = actions
        self._kept: OrderedDict[tuple[str, str, str], Pinned] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, workspace: str, document: Reference, file: str) -> Pinned | None:
        """The definition, if it was read before."""
        key = (workspace, str(document["id"]), file)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def read(self, workspace: str, document: Reference, file: str) -> Pinned:
        """The definition, read when it is not kept. Refusals as of `read_flow` and `Payloads.open`."""
        found = self.find(workspace, document, file)
        if found is not None:
            return found
        text = self._payloads.open(workspace, document)
        pinned = Pinned.of(read_flow(text, file=file, actions=self._actions)[0])
        with self._lock:
            self._kept[(workspace, str(document["id"]), file)] = pinned
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return pinned
