"""Compiles a syntax tree into closures, once; evaluating is calling the outermost. A traced tree keeps what it saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.expressions import syntax as s
from domain.expressions.builtins import Family
from domain.expressions.errors import Absent, ExpressionError, Fault
from domain.expressions.frame import Code, Frame, bounded_text, kind_of, need_boolean
from domain.expressions.functions import FUNCTIONS
from domain.expressions.json_path import select
from domain.expressions.kinds import TESTS
from domain.expressions.operators import BINARY, checked, is_number
from domain.expressions.predicates import PREDICATE_FUNCTIONS, TELLING
from domain.expressions.scope import Told
from domain.expressions.values import to_text

_ABSENT = object()


class Compiler:
    """One tree. With `trace`, each node's value is kept in the frame under the node's place."""

    def __init__(self, text: str, *, trace: bool = False) -> None:
        self.text = text
        self.trace = trace

    def compile(self, node: s.Node) -> Code:
        """The closure of a node."""
        code: Code = getattr(self, f"_{type(node).__name__.lower()}")(node)
        if not self.trace or isinstance(node, s.Constant):
            return code
        place = (node.start, node.end)

        def traced(frame: Frame) -> Any:
            value = code(frame)
            frame.trace[place] = value
            return value

        return traced

    def _guarded(self, node: s.Node, place: int, compute: Callable[[Frame], Any]) -> Code:
        text = self.text

        def guarded(frame: Frame) -> Any:
            try:
                return compute(frame)
            except Fault as fault:
                raise fault.at(place, text) from None

        return guarded

    def _constant(self, node: s.Constant) -> Code:
        value = node.value
        return lambda frame: value

    def _name(self, node: s.Name) -> Code:
        name, text, start = node.name, self.text, node.start
        if node.local:
            return lambda frame: frame.locals[name]

        def look(frame: Frame) -> Any:
            found, value = frame.scope.find(name)
            if found:
                return value
            raise Absent(f"{name} is not defined", start, text, wanted=name, known=tuple(frame.scope.known()), root=True)

        return look

    def _defaulted(self, node: s.Defaulted) -> Code:
        name, default = node.name, node.default

        def look(frame: Frame) -> Any:
            found, value = frame.scope.find(name)
            return value if found else default

        return look

    def _element(self, node: s.Element) -> Code:
        if node.which == "index":
            return lambda frame: frame.index
        if node.which == "acc":
            return lambda frame: frame.acc
        return lambda frame: frame.item

    def _root(self, node: s.Root) -> Code:
        return lambda frame: frame.scope.root()

    def _query(self, node: s.Query) -> Code:
        query = node.query

        def run(frame: Frame) -> Any:
            root = frame.scope.root()
            found = select(query, root)
            if not found and frame.scope.result is not None:
                found = select(query, frame.scope.result)
            frame.charge(len(found))
            return found

        return self._guarded(node, node.start, run)

    def _items(self, node: s.Items) -> Code:
        items = [self.compile(item) for item in node.items]
        return lambda frame: [item(frame) for item in items]

    def _entries(self, node: s.Entries) -> Code:
        entries = [(self.compile(key), self.compile(value)) for key, value in node.entries]
        return lambda frame: {to_text(key(frame)): value(frame) for key, value in entries}

    def _joined(self, node: s.Joined) -> Code:
        parts = [self.compile(part) for part in node.parts]

        def join(frame: Frame) -> str:
            texts = [to_text(part(frame)) for part in parts]
            bounded_text(sum(map(len, texts)))
            return "".join(texts)

        return self._guarded(node, node.start, join)

    def _index(self, node: s.Index) -> Code:
        dotted = _dotted(node)
        return self._part(node) if dotted is None else self._member(node, *dotted)

    def _member(self, node: s.Index, family: str, name: str) -> Code:
        """`FAKER.name.firstName`: one member of a family of built-ins, unless a variable has the family's name."""
        part, text = self._part(node), self.text

        def member(frame: Frame) -> Any:
            found, holder = frame.scope.find(family)
            if not found or not isinstance(holder, Family):
                return part(frame)
            try:
                return holder.builtins.member(holder.name, name)
            except Fault as fault:
                raise fault.at(node.place, text) from None

        return member

    def _part(self, node: s.Index) -> Code:
        item, key, text, place = self.compile(node.object), self.compile(node.key), self.text, node.place
        optional, headers = node.optional, s.is_headers(node.object)
        header = isinstance(node.object, s.Index) and s.is_headers(node.object.object)

        def index(frame: Frame) -> Any:
            try:
                holder = item(frame)
            except Absent:
                if optional:
                    return None
                raise
            wanted = key(frame)
            if holder is None and optional:
                return None
            try:
                value = _part(holder, wanted, header if isinstance(holder, str) else headers)
            except Fault as fault:
                raise fault.at(place, text) from None
            if value is not _ABSENT:
                return value
            if optional:
                return None
            known = tuple(holder) if isinstance(holder, dict) else ()
            raise Absent(
                _absence(holder, wanted), place, text, wanted=wanted, known=known, why=lambda: frame.scope.not_json(holder)
            )

        return index

    def _slice(self, node: s.Slice) -> Code:
        item = self.compile(node.object)
        low = self.compile(node.low) if node.low else None
        high = self.compile(node.high) if node.high else None

        def cut(frame: Frame) -> Any:
            value = item(frame)
            if not isinstance(value, str | list | tuple):
                raise Fault("type", f"only a string or list can be sliced, not {kind_of(value)}")
            bounds = [end(frame) if end else None for end in (low, high)]
            if any(bound is not None and (not isinstance(bound, int) or isinstance(bound, bool)) for bound in bounds):
                raise Fault("type", "the bounds of a slice are whole numbers")
            return value[bounds[0] : bounds[1]]

        return self._guarded(node, node.start, cut)

    def _unary(self, node: s.Unary) -> Code:
        operand, operator = self.compile(node.operand), node.operator

        def compute(frame: Frame) -> Any:
            value = operand(frame)
            if operator in ("!", "not"):
                return not need_boolean(value, f"the operand of {operator}")
            if not is_number(value):
                raise Fault("type", f"{operator} takes a number, not {kind_of(value)}")
            return checked(-value) if operator == "-" else value

        return self._guarded(node, node.start, compute)

    def _binary(self, node: s.Binary) -> Code:
        left, right, operator = self.compile(node.left), self.compile(node.right), node.operator
        if operator in ("&&", "||"):
            stop = operator == "||"

            def logic(frame: Frame) -> Any:
                value = need_boolean(left(frame), f"the left side of {operator}")
                return value if value is stop else need_boolean(right(frame), f"the right side of {operator}")

            return self._guarded(node, node.place, logic)
        if operator == "??":
            return self._coalesce(left, right)
        compute, negated = BINARY[operator], node.negated
        if negated:
            return self._guarded(node, node.place, lambda frame: not compute(frame, left(frame), right(frame)))
        return self._guarded(node, node.place, lambda frame: compute(frame, left(frame), right(frame)))

    def _coalesce(self, left: Code, right: Code) -> Code:
        def coalesce(frame: Frame) -> Any:
            try:
                value = left(frame)
            except Absent:
                return right(frame)
            return right(frame) if value is None else value

        return coalesce

    def _conditional(self, node: s.Conditional) -> Code:
        condition, yes, no = self.compile(node.condition), self.compile(node.yes), self.compile(node.no)

        def choose(frame: Frame) -> Any:
            return yes(frame) if need_boolean(condition(frame), "the condition of ?:") else no(frame)

        return self._guarded(node, node.condition.start, choose)

    def _test(self, node: s.Test) -> Code:
        operand, negated = self.compile(node.operand), node.negated
        if node.test == "exists":

            def exists(frame: Frame) -> bool:
                try:
                    return (operand(frame) not in (None, [])) is not negated
                except Absent:
                    return negated

            return exists
        test = TESTS[node.test]

        def run(frame: Frame) -> bool:
            return bool(test(operand(frame))) is not negated

        return self._guarded(node, node.start, run)

    def _predicate(self, node: s.Predicate) -> Code:
        return self.compile(node.body)

    def _call(self, node: s.Call) -> Code:
        arguments, name, text = [self.compile(argument) for argument in node.arguments], node.function, self.text
        if name in PREDICATE_FUNCTIONS and (len(arguments) > 1 or name not in FUNCTIONS):
            special = PREDICATE_FUNCTIONS[name]
            if self.trace and name in TELLING:
                items = node.arguments[0]
                special = TELLING[name](text[items.start : items.end])
            return self._guarded(node, node.start, lambda frame: special(frame, *arguments))
        function = FUNCTIONS.get(name)
        if function is not None:
            return self._guarded(node, node.start, lambda frame: function(frame, *[run(frame) for run in arguments]))

        def external(frame: Frame) -> Any:
            brought = frame.scope.functions.get(name)
            if brought is None:
                raise ExpressionError(f"{name} is not available here", node.start, text, None, "name")
            answer = brought(*[run(frame) for run in arguments])
            if isinstance(answer, Told):
                frame.notes.extend(answer.notes)
                return answer.value
            return answer

        return self._guarded(node, node.start, external)

    def _let(self, node: s.Let) -> Code:
        value, body, name = self.compile(node.value), self.compile(node.body), node.name

        def define(frame: Frame) -> Any:
            before = frame.locals.get(name, _ABSENT)
            frame.locals[name] = value(frame)
            try:
                return body(frame)
            finally:
                if before is _ABSENT:
                    del frame.locals[name]
                else:
                    frame.locals[name] = before

        return define


def _dotted(node: s.Index) -> tuple[str, str] | None:
    """The family and the dotted member of `FAKER.name.firstName`."""
    group, key = node.object, node.key
    if not isinstance(group, s.Index) or not isinstance(group.object, s.Name) or group.object.name != "FAKER":
        return None
    names = [one.value for one in (group.key, key) if isinstance(one, s.Constant) and isinstance(one.value, str)]
    return ("FAKER", ".".join(names)) if len(names) == 2 and names[1] != "length" else None


def _part(holder: Any, key: Any, headers: bool) -> Any:
    """The part of a value under a key; `_ABSENT` if it has none. Plain data only: attributes of objects do not exist.

    `headers`: the value is an object of HTTP headers, or one of them: a text that is also the list of its single value.
    """
    if isinstance(holder, dict):
        if isinstance(key, str | int | float) and not isinstance(key, bool):
            value = holder.get(key, _ABSENT)
            if value is _ABSENT and headers and isinstance(key, str):
                wanted = key.lower()
                value = next((v for k, v in holder.items() if isinstance(k, str) and k.lower() == wanted), _ABSENT)
            return value if value is not _ABSENT or isinstance(key, str) else holder.get(to_text(key), _ABSENT)
        raise Fault("type", f"a key is a string, not {kind_of(key)}")
    if isinstance(holder, list | tuple):
        if key == "length":
            return len(holder)
        if isinstance(key, int) and not isinstance(key, bool):
            return holder[key] if -len(holder) <= key < len(holder) else _ABSENT
        if isinstance(key, str) and key.lstrip("-").isdigit() and len(key) < 10:
            return _part(holder, int(key), headers)
        raise Fault("type", f"the index of a list is a whole number, not {key!r:.40}")
    if isinstance(holder, str):
        if key == "length":
            return len(holder)
        if isinstance(key, int) and not isinstance(key, bool):
            if headers:
                return holder if key in (0, -1) else _ABSENT
            return holder[key] if -len(holder) <= key < len(holder) else _ABSENT
    if isinstance(holder, Family):
        return holder.builtins.member(holder.name, str(key))
    return _ABSENT


def _absence(holder: Any, key: Any) -> str:
    shown = to_text(key)[:80]
    if isinstance(holder, list | tuple):
        return f"there is no element {shown}: the list has {len(holder)}"
    if isinstance(holder, dict):
        return f'there is no "{shown}"'
    return f"{kind_of(holder)} has no {shown}"
