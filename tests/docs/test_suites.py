"""What the page on suite runs says of limits and verdicts is so."""

from __future__ import annotations

from domain.limits import Limits
from domain.suite_run import ORDER
from tests.support.documentation import DOCS, tables

PAGE = DOCS / "suites.md"


def test_the_limits_are_as_it_says() -> None:
    limits, text = Limits(), PAGE.read_text()
    assert f"{limits.suite_cases:,} cases (`suite_cases`)" in text
    assert f"at most {limits.suite_parallel} (`suite_parallel`)" in text
    assert f"{limits.push_documents} of them at most" in text


def test_every_verdict_has_its_place() -> None:
    told = [row["verdict"] for _, row in tables(PAGE, "verdict", "when", bare=False)]
    assert sorted(", ".join(told).replace("`", "").split(", ")) == sorted(ORDER)
