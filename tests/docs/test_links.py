"""Every link of the documentation to a file or a heading of this repository leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documentation import DOCS, ROOT, pages

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """The names under which a page's headings are reached, as GitHub makes them."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    wrong = []
    for file, anchor in _LINK.findall(_FENCED.sub("", page.read_text())):
        place = page.parent / file if file else page
        if not place.exists() or (anchor and anchor not in _anchors(place)):
            wrong.append(f"{file}#{anchor}")
    assert wrong == []


def test_every_page_is_in_the_index() -> None:
    index = DOCS / "README.md"
    named = {(DOCS / file).resolve() for file, _ in _LINK.findall(index.read_text())}
    hand_written = {page for page in DOCS.rglob("*.md") if page.parent.name != "actions"}
    assert {page.name for page in hand_written - named - {index}} == set()
