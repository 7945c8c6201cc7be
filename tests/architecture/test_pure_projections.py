"""R8: what a projection makes of an event is the same whenever and wherever it is made: no clock, no chance, no network."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from projections.registry import PROJECTIONS

pytestmark = pytest.mark.row("R8")
ROOT = Path(__file__).parents[2]
IMPURE_NAMES = frozenset(
    {
        *("now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "localtime", "gmtime"),
        *("uuid1", "uuid4", "urandom", "random", "randint", "choice", "shuffle", "token_hex", "token_bytes"),
        *("environ", "getenv", "gethostname", "getpid", "urlopen", "create_connection"),
    }
)
IMPURE_SQL = re.compile(
    r"\b(now|random|gen_random_uuid|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|nextval|pg_backend_pid"
    r"|inet_client_addr)\s*\(|\b(current_timestamp|current_time|current_date|localtime|localtimestamp)\b",
    re.IGNORECASE,
)
PLANTED = """
from datetime import UTC, datetime
from uuid import uuid4
import time

class Bad:
    def apply(self, connection, batch):
        for recorded in batch:
            _write(connection, recorded)

    def read(self):
        return time.monotonic()

def _write(connection, recorded):
    connection.execute("INSERT INTO t VALUES (%s, clock_timestamp())", (_id(),))
    return {"at": datetime.now(UTC)}

def _id():
    return uuid4()

def _unused():
    return time.time()
"""
PLANTED_TREE = ast.parse(PLANTED)


@cache
def tree_of(module: str) -> ast.Module:
    """A module of ours."""
    return ast.parse(Path(str(importlib.import_module(module).__file__)).read_text())


def imported(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Where the names come from that a module takes from others of ours."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in ("projections", "domain")
        for alias in node.names
    }


def defined(tree: ast.Module) -> dict[str, ast.AST]:
    """What stands at the top of a module by name: functions, classes, constants."""
    found: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        for target in (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        ):
            if isinstance(target, ast.Name):
                found[target.id] = node
    return found


def reached(module: str, starts: list[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """These pieces of code and all that they name, in this module and in others of the projections."""
    seen, waiting = set[int](), [(module, start) for start in starts]
    while waiting:
        where, piece = waiting.pop()
        if id(piece) in seen:
            continue
        seen.add(id(piece))
        yield where, piece
        tree = PLANTED_TREE if where == "planted" else tree_of(where)
        here, elsewhere = defined(tree), imported(tree)
        for name in {node.id for node in ast.walk(piece) if isinstance(node, ast.Name)}:
            if name in here:
                waiting.append((where, here[name]))
            elif name in elsewhere and elsewhere[name][0].startswith("projections"):
                module_of, original = elsewhere[name]
                waiting += [(module_of, found) for found in [defined(tree_of(module_of)).get(original)] if found]


def impure(where: str, piece: ast.AST) -> Iterator[str]:
    """What asks a clock, chance, or the machine."""
    for node in ast.walk(piece):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if name in IMPURE_NAMES:
            yield f"{where}:{getattr(node, 'lineno', 0)}: {name}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := IMPURE_SQL.search(node.value)):
            yield f"{where}:{node.lineno}: {found[0]}"


def writing(tree: ast.Module, name: str) -> list[ast.AST]:
    """The methods of a class by which a projection writes."""
    (made,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return [
        node for node in made.body if isinstance(node, ast.FunctionDef) and node.name in ("apply", "clear", "ddl", "wanted")
    ]


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_what_a_projection_writes_asks_no_clock_and_no_chance(projection: object) -> None:
    module, name = type(projection).__module__, type(projection).__name__
    pieces = list(reached(module, writing(tree_of(module), name)))
    assert len(pieces) > 3
    assert [found for where, piece in pieces for found in impure(where, piece)] == []


def test_a_clock_chance_and_the_time_of_a_statement_are_found_wherever_they_are_called() -> None:
    pieces = list(reached("planted", writing(PLANTED_TREE, "Bad")))
    found = {text.rpartition(" ")[2] for where, piece in pieces for text in impure(where, piece)}
    assert found == {"clock_timestamp(", "now", "uuid4"}
