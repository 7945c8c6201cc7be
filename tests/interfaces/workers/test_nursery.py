"""The process that forks the children of a worker. Each test is a program of its own: a fork wants one thread."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

from tests.support.tied import tied

HEAD = """
import asyncio, os, signal, sys, time
from interfaces.workers.nursery import KILL, TERMINATE, Closed, Nursery

def child():
    for line in os.fdopen(0, "rb", closefd=False):
        word = line.decode().strip()
        if word == "raise":
            raise ValueError("as asked")
        if word == "sleep":
            time.sleep(60)
        if word.isdigit():
            os._exit(int(word))
        os.write(1, f"{word} {os.getpid()}\\n".encode())

async def asked(child, word):
    child.writer.write(word.encode() + b"\\n")
    return (await child.reader.readline()).decode().split()

def over(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False

async def until_over(pid):
    while not over(pid):
        await asyncio.sleep(0.01)

nursery = Nursery(child)
"""


def program(body: str) -> str:
    """What a program prints that has a nursery."""
    text = HEAD + "async def main():\n" + dedent(body).replace("\n", "\n    ") + "\nasyncio.run(asyncio.wait_for(main(), 30))\n"
    done = subprocess.run(tied(sys.executable, "-c", text), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_children_answer_and_their_exit_codes_are_told() -> None:
    body = """
    first, second = await nursery.child(), await nursery.child()
    assert await asked(first, "hello") == ["hello", str(first.pid)]
    assert await asked(second, "you") == ["you", str(second.pid)]
    first.writer.write(b"7\\n")
    print(await first.wait(), second.ended)
    second.writer.close()
    print(await second.wait())
    third = await nursery.child()
    third.writer.write(b"raise\\n")
    print(await third.wait())
    nursery.close()
    nursery.close()
    """
    assert program(body).split("\n") == ["7 False", "0", "70"]


def test_children_are_terminated_and_killed_on_request() -> None:
    body = """
    for name in (TERMINATE, KILL):
        one = await nursery.child()
        one.writer.write(b"sleep\\n")
        one.signal(name)
        print(await one.wait())
        one.signal(name)
    nursery.close()
    """
    assert program(body).split("\n") == ["-15", "-9"]


def test_without_its_nursery_a_worker_is_told_that_there_are_no_more_children() -> None:
    body = """
    one = await nursery.child()
    os.kill(nursery.pid, signal.SIGKILL)
    print(await one.wait())
    try:
        await nursery.child()
    except Closed:
        print("closed")
    one.writer.close()
    await until_over(one.pid)
    nursery.close()
    """
    assert program(body).split("\n") == ["None", "closed"]


def test_signals_of_a_terminal_do_not_end_the_nursery() -> None:
    body = """
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(nursery.pid, number)
    one = await nursery.child()
    print(await asked(one, "hello") == ["hello", str(one.pid)])
    nursery.close()
    """
    assert program(body) == "True"


def test_a_worker_that_is_killed_leaves_neither_nursery_nor_children() -> None:
    text = """
import asyncio, os, signal
from interfaces.workers.nursery import Nursery

reading, writing = os.pipe()
worker = os.fork()
if worker:
    os.close(writing)
    os.waitpid(worker, 0)
    print(os.read(reading, 1))  # its end comes when the last process that could write is over
    raise SystemExit

def child():
    os.read(0, 1)

nursery = Nursery(child)

async def main():
    await nursery.child()
    await nursery.child()
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    done = subprocess.run(tied(sys.executable, "-c", text), capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "b''", done.stderr
