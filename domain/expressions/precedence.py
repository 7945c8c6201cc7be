"""The operators: how each is spelled, and how strongly it binds."""

from __future__ import annotations

PIPE, TERNARY, OR, AND, NOT, COMPARE, UNARY = 2, 4, 10, 15, 17, 20, 1000
WORDS = {"contains": "contains", "in": "in", "matches": "matches", "startsWith": "startsWith", "endsWith": "endsWith"}
WORDS |= {"starts_with": "startsWith", "ends_with": "endsWith"}
"""Words that are operators, with the operator that each means."""
LEVELS = {"||": OR, "or": OR, "&&": AND, "and": AND, "|": PIPE, "?": TERNARY, "..": 25, "+": 30, "-": 30}
LEVELS |= {"*": 60, "/": 60, "%": 60, "**": 100, "^": 100, "??": 500, "is": COMPARE, "exists": COMPARE, "not": COMPARE}
LEVELS |= dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), COMPARE) | dict.fromkeys(WORDS, COMPARE)
"""What stands between two operands, or behind one; the higher binds more strongly."""
SAME = {"or": "||", "and": "&&", "^": "**"}
"""Other spellings of an operator."""
ORDERINGS = ("<", "<=", ">", ">=")
"""The comparisons that may be chained."""
