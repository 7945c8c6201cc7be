"""XML and HTML as a tree of nodes, within limits: no entity of a document's own, nothing fetched, linear in the text.

XML is read by expat. HTML is read as browsers forgive it, in a small part: elements without an end, ends that are implied, ends
without a beginning, raw text of scripts; names in lower case. What is well-formed XML and does not begin as HTML is XML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape
from typing import Literal

from domain.expressions.errors import Fault

MOST_NODES = 100_000
DEEPEST = 200
_CACHED = 64 * 1024
"""Characters of a text whose tree is kept for the next expression over it."""

Kind = Literal["root", "element", "attribute", "text", "comment", "instruction"]
_HTML = re.compile(r"\s*(<!--.*?-->\s*)?(<!doctype\s+html|<html[\s>])", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"[A-Za-z][^\s/>]*")
_ATTRIBUTE = re.compile(r"[^\s=/>][^\s=/>]*")
_BLANK = re.compile(r"[\s/]*")
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_RAW = frozenset(("script", "style", "textarea", "title", "xmp", "noscript"))
_ENDS = {
    "li": ("li",),
    "dt": ("dt", "dd"),
    "dd": ("dt", "dd"),
    "option": ("option",),
    "tr": ("tr", "td", "th"),
    "td": ("td", "th"),
    "th": ("td", "th"),
    "tbody": ("thead", "tbody", "tr", "td", "th"),
    "tfoot": ("thead", "tbody", "tr", "td", "th"),
}
"""Of a beginning element, the open ones that it ends."""
_SCOPES = frozenset(("ul", "ol", "dl", "table", "select"))
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "div", "dl", "fieldset", "footer", "form", "header", "hr", "main"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "nav", "ol", "p", "pre", "section", "table", "ul"),
    )
)
"""What ends an open paragraph."""


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """A node; `order` is its place in the document. Attributes have a parent and are nobody's children."""

    kind: Kind
    name: str = ""
    value: str = ""
    parent: Node | None = None
    order: int = 0
    children: list[Node] = field(default_factory=list)
    attributes: list[Node] = field(default_factory=list)

    @property
    def local(self) -> str:
        """The name without a prefix."""
        return self.name.rpartition(":")[2]

    def below(self) -> Iterator[Node]:
        """All that is in it, in document order."""
        pending = self.children[::-1]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children))

    def text(self) -> str:
        """Its string value."""
        if self.kind in ("root", "element"):
            return "".join(node.value for node in self.below() if node.kind == "text")
        return self.value


class Tree:
    """Builds a tree. Fault of kind limit beyond what is read."""

    def __init__(self) -> None:
        self._root = self._open = Node("root")
        self._count = self._depth = 0
        self._texts: list[str] = []
        """Parts of the text that is being read: joined once."""

    def begin(self, name: str, attributes: list[tuple[str, str]]) -> None:
        """An element begins."""
        if self._depth >= DEEPEST:
            raise Fault("limit", f"the document is nested more than {DEEPEST} deep")
        node = self._add(Node("element", name))
        for key, value in attributes:
            self._count += 1
            node.attributes.append(Node("attribute", key, value, node, self._count))
        self._open, self._depth = node, self._depth + 1

    def end(self) -> None:
        """The innermost element ends."""
        self._join()
        if self._open.parent is not None:
            self._open, self._depth = self._open.parent, self._depth - 1

    def text(self, value: str) -> None:
        """Text, joined to what stands right before it."""
        self._texts.append(value)

    def done(self) -> Node:
        """The root, when the document is at its end."""
        self._join()
        return self._root

    def other(self, kind: Kind, name: str, value: str) -> None:
        """A comment or a processing instruction."""
        self._add(Node(kind, name, value))

    def open_names(self) -> Iterator[str]:
        """The elements that are open, from the inside."""
        node: Node | None = self._open
        while node is not None and node.kind == "element":
            yield node.name
            node = node.parent

    def _join(self) -> None:
        text, self._texts = "".join(self._texts), []
        if text:
            self._add(Node("text", value=text))

    def _add(self, node: Node) -> Node:
        if self._texts:
            self._join()
        self._count += 1
        if self._count > MOST_NODES:
            raise Fault("limit", f"the document has more than {MOST_NODES:,} nodes")
        node.parent, node.order = self._open, self._count
        self._open.children.append(node)
        return node


def parse(text: str) -> Node:
    """The root of the tree. Fault of kind limit for what is too large; there is no other."""
    return _kept(text) if len(text) <= _CACHED else _parsed(text)


def _parsed(text: str) -> Node:
    if _HTML.match(text[:_CACHED]) is None:
        found = _xml(text)
        if found is not None:
            return found
    return _Html(text).root()


_kept = lru_cache(maxsize=8)(_parsed)


def _xml(text: str) -> Node | None:
    """The tree of a well-formed document; None for any other, for one that is too large, and for one that defines entities."""
    from xml.parsers import expat

    tree, parser = Tree(), expat.ParserCreate(encoding="utf-8")
    parser.buffer_text = True
    parser.ordered_attributes = True

    def refuse(*_: object) -> None:
        raise expat.ExpatError("entities")

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda name, given: tree.begin(name, list(zip(given[::2], given[1::2], strict=True)))
    parser.EndElementHandler = lambda name: tree.end()
    parser.CharacterDataHandler = tree.text
    parser.CommentHandler = lambda value: tree.other("comment", "", value)
    parser.ProcessingInstructionHandler = lambda name, value: tree.other("instruction", name, value)
    try:
        parser.Parse(text.lstrip("\ufeff \t\r\n").encode("utf-8", "replace"), True)
    except (expat.ExpatError, Fault):
        return None
    return tree.done()


class _Html:
    """One pass over a text; every character is looked at a bounded number of times."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._tree = Tree()

    def root(self) -> Node:
        """The tree of the whole text."""
        while self._at < len(self._text):
            begin = self._text.find("<", self._at)
            begin = len(self._text) if begin < 0 else begin
            self._tree.text(unescape(self._text[self._at : begin]))
            self._at = begin
            if begin < len(self._text):
                self._markup()
        return self._tree.done()

    def _markup(self) -> None:
        after = self._text[self._at + 1 : self._at + 4]
        if after == "!--":
            self._tree.other("comment", "", self._until("-->", 4))
        elif after[:1] in ("!", "?"):
            self._until(">", 1)
        elif after[:1] == "/" and after[1:2].isalpha():
            self._end(self._until(">", 2).split()[0].rstrip("/").lower())
        elif after[:1].isalpha():
            self._begin()
        else:
            self._tree.text("<")
            self._at += 1

    def _until(self, mark: str, skipped: int) -> str:
        """What stands before the mark, or the rest; the place is behind it then."""
        begin = self._at + skipped
        end = self._text.find(mark, begin)
        end = len(self._text) if end < 0 else end
        self._at = end + len(mark)
        return self._text[begin:end]

    def _begin(self) -> None:
        found = _NAME.match(self._text, self._at + 1)
        if found is None:  # a letter outside of ASCII
            self._tree.text("<")
            self._at += 1
            return
        self._at = found.end()
        name, attributes = found[0].lower(), self._attributes()
        self._imply_ends(name)
        self._tree.begin(name, attributes)
        if name in _VOID:
            self._tree.end()
        elif name in _RAW:
            self._raw(name)

    def _attributes(self) -> list[tuple[str, str]]:
        made: dict[str, str] = {}
        while self._at < len(self._text):
            blank = _BLANK.match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            found = _ATTRIBUTE.match(self._text, self._at)
            if found is None:
                closed = self._text[self._at : self._at + 1] != "="
                self._at += 1
                if closed:
                    break
                continue
            self._at = found.end()
            made.setdefault(found[0].lower(), self._value())
        return list(made.items())

    def _value(self) -> str:
        """The value of an attribute, empty where it has none."""
        place = self._at
        while self._text[place : place + 1].isspace():
            place += 1
        if self._text[place : place + 1] != "=":
            return ""
        place += 1
        while self._text[place : place + 1].isspace():
            place += 1
        self._at = place
        quote = self._text[place : place + 1]
        if quote in ("'", '"'):
            return unescape(self._until(quote, 1))
        found = re.compile(r"[^\s>]*").match(self._text, place)
        self._at = found.end() if found else place
        return unescape(found[0]) if found else ""

    def _raw(self, name: str) -> None:
        found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(self._text, self._at)
        end = found.start() if found else len(self._text)
        raw = self._text[self._at : end]
        self._tree.text(unescape(raw) if name in ("title", "textarea") else raw)
        self._at = end

    def _imply_ends(self, name: str) -> None:
        """End the open elements that cannot hold the one that begins."""
        ended = _ENDS.get(name, ("p",) if name in _BLOCKS else ())
        for open_name in list(self._tree.open_names()) if ended else ():
            if open_name in ended:
                self._end(open_name)
            elif open_name in _SCOPES or ended == ("p",):
                break

    def _end(self, name: str) -> None:
        """End the innermost element of that name and what is open in it; an end without a beginning is passed over."""
        names = list(self._tree.open_names())
        if name in names:
            for _ in range(names.index(name) + 1):
                self._tree.end()
