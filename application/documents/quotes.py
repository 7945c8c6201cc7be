"""Values that YAML breaks because they lack quotes: recognises them and writes the corrected line."""

from __future__ import annotations

import re

from application.documents.inline import requoted, requoted_items

_TEMPLATE = re.compile(r"\$\{|\{\{")
_ENTRY = re.compile(r"^(\s*(?:- +)*(?:[\w.$-]+:\s+)?)(\S.*?)\s*$")
_ITEM = re.compile(r"^(\s*(?:- +)+)(\S.*?)\s*$")


def has_template(line: str) -> bool:
    """Whether a line holds the beginning of a template."""
    return _TEMPLATE.search(line) is not None


def breaks(line: str) -> bool:
    """Whether YAML cannot read a line by itself, and could if its value stood in quotes."""
    return not _readable(line.strip()) and corrected(line) is not None


def corrected(line: str, *, whole_item: bool = False) -> str | None:
    """The line with its value in quotes, or None where that would not make it readable. In inline style only what needs
    quotes gets them.

    `whole_item`: the value is all that follows the dash, a colon in it included.
    """
    fixed = corrected_line(line)
    if fixed is not None and _readable(fixed):
        return fixed
    match = (_ITEM if whole_item else _ENTRY).match(line)
    if not match:
        return None
    head, value = match.groups()
    fixed = head + quoted(value)
    return fixed.strip() if _readable(fixed.strip()) else None


def corrected_line(line: str) -> str | None:
    """The line with its values in inline style in quotes where they need them, its last collection open or closed."""
    match = _ENTRY.match(line)
    fixed = requoted(match.group(2), quoted) if match and _is_inline(match.group(2)) else None
    return None if fixed is None or match is None or fixed == match.group(2) else f"{match.group(1)}{fixed}".strip()


def corrected_part(line: str, opener: str) -> str | None:
    """A line of a collection in inline style that was opened on a line before, with quotes where they are needed."""
    fixed = requoted_items(line, opener, quoted)
    return None if fixed is None or fixed == line else fixed.strip()


def quoted(value: str) -> str:
    """A value in the quotes that need the fewest escapes."""
    if '"' not in value and "\\" not in value:
        return f'"{value}"'
    return "'" + value.replace("'", "''") + "'"


def quote_remedy(line: str, *, whole_item: bool = False) -> str:
    """The advice to quote, with the corrected line where there is one."""
    fixed = corrected(line, whole_item=whole_item)
    return f"put this value in quotes: {fixed}" if fixed else "put this value in quotes"


def cut_by_yaml(line: str, column: int, text: str) -> str | None:
    """Why YAML read less than was meant where a text stands that is not whole; None where it read all."""
    before, after = line[: column - 1].rstrip(), line[column - 1 :]
    if after.startswith(f"{text} #"):
        return "YAML takes # for a comment"
    opened = sum(text.count(sign) for sign in "([{") - sum(text.count(sign) for sign in ")]}")
    if (opened > 0 and after.startswith(f"{text},")) or (opened < 0 and before.endswith(",")):
        return "YAML ends a value at this comma"
    return None


def _is_inline(value: str) -> bool:
    return value[0] == "[" or (value[0] == "{" and value[1:2] != "{")


def _readable(line: str) -> bool:
    import yaml

    try:
        for event in yaml.parse(line, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.MappingStartEvent) and event.flow_style and line.startswith("{{"):
                return False
    except (yaml.YAMLError, UnicodeError):
        return False
    return True
