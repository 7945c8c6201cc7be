"""Clients of the API that ask again under the same Idempotency-Key until they are answered, and the journal of what they
were told."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.chaos import large_answers
from tests.chaos.harness import FLOW, System

BUSY = (502, 503, 504)
WAIT_SECONDS = 5.0
GROUPED, SHARED_BY = 1 / 12, 1000
"""The part of all executions that are in a concurrency group: one of two places for each thousand, as a trial with one for all
would take as long as two places need."""
LARGE = 1 / 6
"""The part of all executions that keep an answer too large for an event."""


class Journal:
    """What was promised: on disk before the client goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()
        self._turn = threading.Lock()

    def accept(self, key: str, id: str) -> None:
        """Write an acceptance down."""
        with self._turn, self._path.open("a") as file:
            file.write(f"{key} {id}\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> dict[str, UUID]:
        """Key and id, as they stand on disk. AssertionError when a key was given two ids."""
        found: dict[str, UUID] = {}
        for line in self._path.read_text().splitlines():
            key, id = line.split()
            assert found.setdefault(key, UUID(id)) == UUID(id), f"{key} was answered {found[key]} and {id}"
        return found


class Clients:
    """Some clients that request executions, one after another each."""

    def __init__(self, system: System, *, seed: int = 1, count: int = 4, body: Mapping[str, Any] | None = None) -> None:
        """`body` is what is asked for; a flow of two steps with a nap of random length unless given."""
        self._system = system
        self._seed = seed
        self._body = body
        self._count = count
        self.journal = Journal(system.root / f"journal-{seed}")
        self.answers: Counter[str] = Counter()
        """How often each kind of answer came: `202`, `503`, `no answer`, `again`..."""
        self.wrong: list[str] = []
        """Answers that no client should get."""
        self.times: list[float] = []
        """Seconds that each accepted request took, without what was tried before it."""
        self.accepted: list[str] = []
        """The ids that were answered, in order."""
        self._next = 0
        self._turn = threading.Lock()
        self._enough = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, total: int, *, pause: float = 0.0) -> None:
        """Begin to request `total` executions; each client rests for up to twice `pause` after each."""
        for number in range(self._count):
            thread = threading.Thread(target=self._run, args=(number, total, pause), name=f"client-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Request nothing new."""
        self._enough.set()

    def join(self, seconds: float = 600.0) -> None:
        """Wait until everything that was asked for is answered."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
            assert not thread.is_alive(), f"a client was not answered in time: {dict(self.answers)}"
        assert not self.wrong, self.wrong[:5]

    @property
    def working(self) -> bool:
        """Whether some have not been answered yet."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def asked(self) -> list[str]:
        """Every key that was used."""
        return [self._key(number) for number in range(self._next)]

    def _key(self, number: int) -> str:
        return f"chaos-{self._seed}-{number}"

    def _run(self, client: int, total: int, pause: float) -> None:
        dice = random.Random(f"{self._seed}-{client}")
        with self._system.client(timeout=WAIT_SECONDS) as http:
            while not self._enough.is_set():
                with self._turn:
                    if self._next >= total:
                        return
                    number, self._next = self._next, self._next + 1
                try:
                    self._one(http, number, dice)
                except Exception as error:
                    self.wrong.append(f"{type(error).__name__}: {error}")
                time.sleep(dice.random() * 2 * pause)

    def _one(self, http: httpx.Client, number: int, dice: random.Random) -> None:
        key = self._key(number)
        body = self._body or self._some_body(dice)
        if self._body is None and dice.random() < GROUPED:
            body["concurrency"] = {"group": f"pair {number // SHARED_BY}", "max": 2}
        id = self._until_accepted(http, key, body)
        self.journal.accept(key, id)
        self.accepted.append(id)
        if dice.random() < 0.02:
            self.answers["again"] += 1
            self.journal.accept(key, self._until_accepted(http, key, body))

    def _some_body(self, dice: random.Random) -> dict[str, Any]:
        variables: dict[str, Any] = {"NAP": dice.randint(20, 150)}
        if dice.random() < LARGE:
            variables["URL"] = self._system.large.url
            return {"document": large_answers.FLOW, "file": "large.yaml", "variables": variables}
        return {"document": FLOW, "file": "chaos.yaml", "variables": variables}

    def _until_accepted(self, http: httpx.Client, key: str, body: Mapping[str, Any]) -> str:
        """The id, however often it has to be asked for."""
        while True:
            begun = time.monotonic()
            try:
                answer = http.post(self._system.path("/executions"), json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self.answers["no answer"] += 1
                time.sleep(0.1)
                continue
            self.answers[str(answer.status_code)] += 1
            if answer.status_code == 202:
                self.times.append(time.monotonic() - begun)
                return str(answer.json()["id"])
            if answer.status_code not in BUSY:
                raise AssertionError(f"{key}: {answer.status_code} {answer.text[:300]}")
            time.sleep(0.1)
