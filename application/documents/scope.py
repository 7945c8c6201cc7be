"""The check of names: every name that a flow reads must be one that something before it defines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from functools import lru_cache

from application.documents.grammar import CHECKS, RETRY_KINDS
from application.documents.language import expression_names, has_default, is_template, template_names
from application.documents.report import Report
from application.documents.shapes import texts
from application.documents.source import nearest
from application.engine.action import Action
from domain.definition import Data, FlowDefinition, Path, Step
from domain.values import dataclass

_BUILT_INS = (
    "UUID RANDOM_ID TIMESTAMP TIMESTAMP_MS ISO_TIMESTAMP DATE TIME DATETIME YEAR MONTH DAY HOUR MINUTE SECOND TODAY "
    "RANDOM_INT RANDOM_STRING TIMESTAMP_UNIX FLOW_ID FLOW_NAME FLOW_STATUS EXECUTION_ID FAKER uuid timestamp random_int random "
    "flow execution attempt error failed_step env inputs input vars variables response result output "
    "outputs steps needs"
)
BUILT_INS = frozenset(_BUILT_INS.split())


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Read:
    """A text that reads names, with those that only it knows. `anything`: it may know others that cannot be listed;
    `afterwards`: it is looked at when the step's nested steps have run."""

    path: Path
    text: str
    names: frozenset[str]
    extra: frozenset[str] = frozenset()
    anything: bool = False
    afterwards: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Scope:
    """What is defined so far while the steps are walked in order. `closed`: no variable can come from outside."""

    report: Report
    actions: Mapping[str, Action]
    known: set[str]
    closed: bool
    columns: Callable[[Data], Iterable[str] | None] | None = None
    env_names: Callable[[str], Iterable[str] | None] | None = None
    later: set[str] = field(default_factory=set)
    anything: bool = False
    """Whether names may come from where nobody has looked: a file of rows or of variables."""

    def flow(self, definition: FlowDefinition) -> None:
        """Check all names of a flow."""
        self.known |= BUILT_INS | set(definition.env) | set(definition.inputs) | self._columns(definition)
        for file in definition.env_file:
            names = self.env_names(file) if self.env_names is not None else None
            self.known |= set(names or ())
            self.anything = self.anything or names is None
        for path, text in texts(dict(definition.env), ("env",)):
            self._check(_Read(path, text, template_names(text)))
        self.later = {name for steps in definition.lists() for step in walk(steps) for name in defines(step)}
        for steps in definition.lists():
            self._steps(steps)

    def _columns(self, definition: FlowDefinition) -> set[str]:
        """The names that rows of data bring."""
        data = definition.data
        if data is None:
            return set()
        names: Iterable[str] | None = {name for row in data.rows for name in row}
        if data.file is not None:
            names = self.columns(data) if self.columns is not None else None
        self.anything = self.anything or names is None
        return {"row", *(names or ())}

    def _steps(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            self._step(step)

    def _step(self, step: Step) -> None:
        action = self.actions.get(step.action)
        reads = list(self._reads(step, action))
        for read in reads:
            if not read.afterwards:
                self._check(read)
        if step.bodies:
            self._bodies(step, action)
        for read in reads:
            if read.afterwards:
                self._check(read)
        left = defines(step)
        self.known |= left
        self.later -= left
        self._steps(step.on_error.steps)

    def _bodies(self, step: Step, action: Action | None) -> None:
        """Each body knows the names outside and its own; afterwards all that they leave behind is known."""
        outside = set(self.known)
        left = set(outside)
        for body in step.bodies.values():
            own = action.body_names(step.config) if action is not None else frozenset[str]()
            self.known = outside | own
            self._steps(body)
            left |= self.known - (own - outside)
        self.known = left

    def _reads(self, step: Step, action: Action | None) -> Iterator[_Read]:
        result = frozenset(action.result if action else ())
        result |= action.made(step.config) if action else frozenset()
        for key in ("name", "description"):
            text = getattr(step, key) or ""
            if is_template(text):
                yield _Read((*step.path, key), text, template_names(text))
        if step.when is not None:
            yield _Read((*step.path, "when"), step.when, expression_names(step.when))
        inner = {place: text for place, text in action.expressions(step.config)} if action else {}
        for path, text in texts(dict(step.config), (*step.path, "config")):
            within = inner.get(path[len(step.path) + 1 :]) if inner else None
            read = self._config_read(action, path, within or text, result, expression=within is not None)
            if read is not None:
                yield read
        anything = not _are_names(result)
        extra = result | set(step.output) | {step.id, "request"} | ({"response_time"} if "time" in result else set())
        for path, text in _result_expressions(step):
            yield _Read(path, text, expression_names(text), extra, anything, afterwards=True)

    def _config_read(
        self, action: Action | None, path: Path, text: str, result: frozenset[str], *, expression: bool
    ) -> _Read | None:
        """What a text of the config reads, as an expression or in its templates; None for most, which read nothing."""
        name = str(path[path.index("config") + 1]) if "config" in path else ""
        key = action.keys.get(name) if action else None
        if action is None or key is None:
            return _Read(path, text, template_names(text)) if is_template(text) else None
        own = name in action.unresolved
        inside = path.index("config") + 2 < len(path) and "object" in key.types
        whole = not inside and "expression" in key.types
        expression = expression or (whole and not ("string" in key.types and is_template(text)))
        expression = expression or ("assertions" in key.types and path[-1] != "message")
        names = expression_names(text) if expression else template_names(text)
        if not names:
            return None
        known = frozenset(action.names.get(name, ())) | result
        later = name in action.after_bodies
        return _Read(
            path, text, names, known if own else frozenset(), anything=own and name not in action.names, afterwards=later
        )

    def _check(self, read: _Read) -> None:
        for name in sorted(read.names):
            bare = name.removeprefix("$")
            if bare in self.known or bare in read.extra or has_default(read.text, bare):
                continue
            if (whole := self._hyphened(read.text, bare)) is not None:
                self._say_hyphened(read, whole)
            elif bare in self.later:
                self._say(read, bare, f'"{bare}" is not known yet: the step that defines it runs later', certain=True)
            elif not (read.anything or self.anything):
                self._say(read, bare, f'Nothing defines "{bare}"', certain=self.closed)

    def _hyphened(self, text: str, name: str) -> str | None:
        """The id or output with a hyphen that the name is only a part of: `create-user` in `create-user.id`."""
        found = (known for known in self.known | self.later if "-" in known and name in known.split("-") and known in text)
        return next(found, None)

    def _say_hyphened(self, read: _Read, whole: str) -> None:
        at = self.report.inside(read.path, read.text, read.text.find(whole))
        title = f'"{whole}" reads as "{whole.replace("-", " minus ")}" in an expression'
        self.report.warn(read.path, title, f'write steps["{whole}"], or give it a name with _ for -', at=at)

    def _say(self, read: _Read, name: str, title: str, *, certain: bool) -> None:
        at = self.report.inside(read.path, read.text, _offset(read.text, name))
        meant = nearest(name, self.known | read.extra)
        remedy = f'did you mean "{meant}"?' if meant else _unknown(name)
        if certain:
            self.report.error(read.path, title, remedy, at=at)
        else:
            self.report.warn(read.path, f"{title}, unless it is given with --var", remedy, at=at)


@lru_cache(maxsize=256)
def _are_names(result: frozenset[str]) -> bool:
    """Whether these are all the fields of a result, and not a word about what they are."""
    return bool(result) and all(name.isidentifier() for name in result)


def _unknown(name: str) -> str:
    return f"give it with --var {name}=..., define it in env, or give a default: ${{{name} ?? ''}}"


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step with those nested in it."""
    for step in steps:
        yield step
        for body in (*step.bodies.values(), step.on_error.steps):
            yield from walk(body)


def defines(step: Step) -> set[str]:
    """The names that a finished step leaves behind."""
    return {step.id, *step.output}


def _result_expressions(step: Step) -> Iterator[tuple[Path, str]]:
    for kind in CHECKS:
        for check in getattr(step, "asserts" if kind == "assert" else kind):
            yield check.path, check.expression
    if step.until is not None:
        yield (*step.path, "until"), step.until.condition
    if step.retry is not None:
        for name in ("retry_on", "retry_on_not"):
            for index, text in enumerate(getattr(step.retry, name)):
                if text not in RETRY_KINDS:
                    yield (*step.path, "retry", name, index), text


def _offset(text: str, name: str) -> int:
    """Where a name is read in a text: inside a template if there is one."""
    found = re.search(rf"(?:\$\{{|\{{\{{).*?(?<![\w.]){re.escape(name)}\b", text, re.DOTALL)
    if found:
        return found.end() - len(name)
    bare = re.search(rf"(?<![\w.]){re.escape(name)}\b", text)
    return bare.start() if bare else 0
