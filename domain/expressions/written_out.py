"""Patterns and queries that an expression writes out: they are wrong before anything runs."""

from __future__ import annotations

from domain.expressions import syntax as s
from domain.expressions.errors import Fault


def check_written_pattern(node: s.Node, text: str) -> None:
    """ExpressionError for a pattern that is none; what is not written out is seen when it runs."""
    if isinstance(node, s.Constant) and isinstance(node.value, str):
        from domain.expressions.operators import check_pattern

        check_pattern(node.value, node.start, text)


def check_written_xpath(node: s.Node, text: str) -> None:
    """The same for an XPath query."""
    if isinstance(node, s.Constant) and isinstance(node.value, str):
        from domain.expressions.xpath_syntax import parse_xpath

        try:
            parse_xpath(node.value)
        except Fault as fault:
            raise fault.at(node.start, text) from None
