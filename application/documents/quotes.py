"""Values that YAML breaks because they lack quotes: recognises them and writes the corrected line."""

from __future__ import annotations

import re

_TEMPLATE = re.compile(r"\$\{|\{\{")
_ENTRY = re.compile(r"^(\s*(?:- +)*(?:[\w.$-]+:\s+)?)(\S.*?)\s*$")
_ITEM = re.compile(r"^(\s*(?:- +)+)(\S.*?)\s*$")
_FLOW_WORD = re.compile(r"""[^\s,\[\]{}"':]*(?:\$\{[^}]*\}|\{\{.*?\}\})[^\s,\[\]{}"']*""")


def has_template(line: str) -> bool:
    """Whether a line holds the beginning of a template."""
    return _TEMPLATE.search(line) is not None


def breaks(line: str) -> bool:
    """Whether YAML cannot read a line by itself, and could if its value stood in quotes."""
    return not _readable(line.strip()) and corrected(line) is not None


def corrected(line: str, *, whole_item: bool = False) -> str | None:
    """The line with its value in quotes, or None where that would not make it readable.

    `whole_item`: the value is all that follows the dash, a colon in it included.
    """
    match = (_ITEM if whole_item else _ENTRY).match(line)
    if not match:
        return None
    head, value = match.groups()
    if not whole_item and (value[0] == "[" or (value[0] == "{" and value[1:2] != "{")):
        fixed = head + _FLOW_WORD.sub(lambda found: quoted(found.group()), value)
    else:
        fixed = head + quoted(value)
    return fixed.strip() if fixed != line.rstrip() and _readable(fixed.strip()) else None


def quoted(value: str) -> str:
    """A value in the quotes that need the fewest escapes."""
    if '"' not in value and "\\" not in value:
        return f'"{value}"'
    return "'" + value.replace("'", "''") + "'"


def quote_remedy(line: str, *, whole_item: bool = False) -> str:
    """The advice to quote, with the corrected line where there is one."""
    fixed = corrected(line, whole_item=whole_item)
    return f"put this value in quotes: {fixed}" if fixed else "put this value in quotes"


def _readable(line: str) -> bool:
    import yaml

    try:
        for event in yaml.parse(line, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.MappingStartEvent) and event.flow_style and line.startswith("{{"):
                return False
    except (yaml.YAMLError, UnicodeError):
        return False
    return True
