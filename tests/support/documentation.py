"""What the documentation shows: its pages, their fenced blocks, tables and command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from application.documents.grammar import FLOW, STEP

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\|(?P<cells>.*)\|\s*$")
_SPLIT = re.compile(r"(?<!\\)\|")
_COMMAND = re.compile(r"^(?:    |\$ |)(testmesh(?: .*)?)$", re.MULTILINE)
_INLINE = re.compile(r"`(testmesh [^`\n]+)`")
_OPTION = re.compile(r"(?<=`)--[a-z][a-z-]*")
_SHELL_ENDS = ("|", ">", ">>", "<", "&&", ";", "&", "2>")


@dataclass(frozen=True)
class Block:
    """A fenced block; behind its language may stand words such as `expect=failed`, `file=NAME`, `run=no`."""

    page: Path
    line: int
    language: str
    options: dict[str, str] = field(hash=False)
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def folder(self) -> str:
        """The folder that blocks of its page share when they are run."""
        return self.page.relative_to(ROOT).as_posix().removesuffix(".md").replace("/", "-")

    @property
    def file(self) -> str:
        """The file name under which it is run."""
        return self.options.get("file", f"block-{self.line}.yaml")

    @property
    def expected(self) -> set[str]:
        """The verdicts that its executions end with."""
        return set(self.options.get("expect", "passed").split(","))

    @property
    def whole(self) -> bool:
        """Whether it is a whole flow."""
        return self.language == "yaml" and re.match(r"(#[^\n]*\n)*flow:", self.text) is not None

    @property
    def runs(self) -> bool:
        """Whether it is a flow that can be run as it stands."""
        return self.whole and self.options.get("run") != "no" and "invalid" not in self.expected and "file" not in self.options


def pages() -> list[Path]:
    """The README and every page of the documentation."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text()
    return [_block(page, text, found) for found in _FENCE.finditer(text)]


def all_blocks(language: str) -> list[Block]:
    """The blocks of one language of all pages."""
    return [block for page in pages() for block in blocks(page) if block.language == language]


def _block(page: Path, text: str, found: re.Match[str]) -> Block:
    language, *words = found["info"].split() or [""]
    options = dict(word.split("=", 1) for word in words)
    return Block(page, text.count("\n", 0, found.start()) + 1, language, options, found["text"])


def as_flow(text: str) -> str:
    """A whole flow around a part of one: a list of steps, keys of a flow, or keys of a step."""
    value = yaml.safe_load(text)
    if isinstance(value, list):
        return f"flow:\n  name: a part\n  steps:\n{_moved(text, 4)}"
    assert isinstance(value, dict), f"neither a flow nor a part of one: {text[:80]!r}"
    if value.keys() <= FLOW.keys.keys():
        rest = ("" if "name" in value else "  name: a part\n") + ("" if "steps" in value else f"  steps:\n{_step('')}")
        return f"flow:\n{rest}{_moved(text, 2)}"
    assert value.keys() <= STEP.keys.keys(), f"neither keys of a flow nor of a step: {sorted(value)}"
    return f"flow:\n  name: a part\n  steps:\n{_step(text, action='action' not in value)}"


def _step(text: str, action: bool = True) -> str:
    own = "action: log\nconfig: {message: a part}\n" if action and "config" not in (yaml.safe_load(text) or {}) else ""
    return "    -\n" + _moved(own + text, 6)


def _moved(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


def tables(page: Path, *head: str, bare: bool = True) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows, with their lines, of every table whose head is this; `bare` takes code marks around whole cells off."""
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        found = _ROW.match(line)
        cells = [cell.strip().replace("\\|", "|") for cell in _SPLIT.split(found["cells"])] if found else []
        if [cell.lower() for cell in cells] == list(head):
            inside = True
        elif not found:
            inside = False
        elif inside and not set("".join(cells)) <= set("-: "):
            yield number, dict(zip(head, map(_bare, cells) if bare else cells, strict=True))


def _bare(cell: str) -> str:
    found = re.fullmatch(r"(`+) ?(.*?) ?\1", cell)
    return found[2] if found and found[1] not in found[2] else cell


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command line of the program that a page shows, and its words; what the shell does with the rest is cut off."""
    text = page.read_text()
    lines = [found[1] for found in _COMMAND.finditer(text)] + [found[1] for found in _INLINE.finditer(text)]
    for line in lines:
        words = shlex.split(line, comments=True)
        end = next((number for number, word in enumerate(words) if word in _SHELL_ENDS), len(words))
        yield line, words[1:end]


def options(text: str) -> set[str]:
    """The options that a text names in code."""
    return set(_OPTION.findall(text))


def variables_of(targets: dict[str, str]) -> list[str]:
    """Targets as options of the program."""
    return [f"--var={name}={value}" for name, value in targets.items()]


def read_value(text: str) -> Any:
    """The value that a cell of a table shows, as YAML."""
    return yaml.safe_load(text)
