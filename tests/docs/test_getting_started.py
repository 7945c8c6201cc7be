"""The page for beginners, followed line by line: its files are written, its commands run, their output compared."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documentation import DOCS, Block, blocks
from tests.support.kafka_broker import free_port
from tests.support.tied import tied

PAGE = DOCS / "getting-started.md"
ITS_PORT = "9000"
_CHANGING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|\d+(\.\d+)? m?s\b")


class Reader:
    """Somebody who does what the page says, in a folder, with a server of files on a port of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = str(port)
        self._code = 0

    def follow(self, block: Block) -> list[tuple[str, str, str]]:
        """Do what a block says; of each command its line, what it should print and what it printed."""
        text = block.text.replace(ITS_PORT, self._port)
        if "file" in block.options:
            place = self._folder / block.options["file"]
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
        if block.language != "console":
            return []
        return [
            (line, _settled(output), _settled(self._run(line)))
            for line, _, output in (part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:])
        ]

    def _run(self, line: str) -> str:
        if line == "echo $?":
            return f"{self._code}\n"
        program, *words = shlex.split(line)
        assert program == "testmesh"
        command = [sys.executable, "-m", "interfaces.cli.main", *words]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=dict(os.environ, NO_COLOR="1"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self._code = done.returncode
        return done.stdout


def _settled(text: str) -> str:
    """Without ids and times, which differ from run to run."""
    return _CHANGING.sub("_", text).rstrip()


@pytest.mark.servers
def test_what_the_page_shows_happens(tmp_path: Path) -> None:
    port = free_port()
    reader, seen = Reader(tmp_path, port), []
    (tmp_path / "site").mkdir()
    server = subprocess.Popen(
        tied(
            sys.executable, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path / "site")
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout is not None
    try:
        assert server.stdout.readline().startswith(b"Serving")
        for block in blocks(PAGE):
            for line, wanted, given in reader.follow(block):
                assert given == wanted, line
                seen.append(line)
    finally:
        server.terminate()
        server.communicate(timeout=10)
    assert len(seen) == 6
    assert (tmp_path / "report.xml").read_bytes().startswith(b"<?xml")
