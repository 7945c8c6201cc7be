"""The reference of actions: a page for each, and the table of them all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from application.actions.registry import all_actions
from application.engine.action import Action, Key
from interfaces.reference.markdown import block, code, join, prose, table

_EXTRA = re.compile(r"[Nn]eeds the extra `?([a-z0-9_-]+)`?")
_INTRODUCTION = """\
An action is called by its name or one of its aliases. A config key that it does not have is an error, with the nearest one that
it has. Every value may be a template. A duration is `500ms`, `2s`, `1m30s` or a number of seconds; steps are as in a flow;
an expression is [one](../expressions.md), assertions are [as of a step](../language.md#assertions). An alias of a key is
another name for it: one of them may be given. Every action also takes `assert`, which means the same as beside `config`.

Examples run against the shop of `examples/shop`."""


def action_pages(examples: Path) -> Mapping[str, str]:
    """The pages by path; an action's example is the flow `<name>.yaml` among the examples."""
    actions = all_actions()
    found = {f"actions/{action.name}.md": page_of(action, examples / f"{action.name}.yaml") for action in actions}
    return {**found, "actions/README.md": _overview(actions)}


def extras_of(action: Action) -> Mapping[str, str]:
    """The optional parts of the package that an action says it needs: by name, the key that needs it or nothing for all."""
    found = dict.fromkeys(_EXTRA.findall(action.description), "")
    for name, key in action.keys.items():
        found = {**dict.fromkeys(_EXTRA.findall(key.description), name), **found}
    return found


def _overview(actions: tuple[Action, ...]) -> str:
    rows = [
        (f"[{code(action.name)}]({action.name}.md)", ", ".join(map(code, action.aliases)), prose(action.description))
        for action in actions
    ]
    return join(["# Actions", _INTRODUCTION, table(("action", "aliases", "what it does"), rows)])


def page_of(action: Action, example: Path) -> str:
    """The page of one action; `example` is where its example may be."""
    return join([f"# {code(action.name)}", prose(action.description), *_sections(action, example), "[All actions](README.md)"])


def _sections(action: Action, example: Path) -> Iterator[str]:
    if action.aliases:
        yield f"Aliases: {', '.join(map(code, action.aliases))}."
    for extra, key in extras_of(action).items():
        what = f"The key {code(key)} needs" if key else "It needs"
        yield f"{what} an optional part of the package: `pip install 'testmesh[{extra}]'`."
    yield "## Config"
    yield table(("key", "type", "", "meaning"), [_key(name, key, action) for name, key in action.keys.items()]) or "None."
    yield "## Result"
    fields = table(("field", "meaning"), [(code(name), prose(text)) for name, text in action.result.items()])
    yield fields or "Nothing that is listed."
    yield from _own_names(action)
    if example.is_file():
        yield "## Example"
        yield block(example.read_text(encoding="utf-8"), "yaml")


def _key(name: str, key: Key, action: Action) -> tuple[str, str, str, str]:
    meaning = key.description
    if key.choices and not all(choice in meaning for choice in key.choices):
        meaning = f"{meaning} One of: {', '.join(map(code, key.choices))}.".strip()
    if key.aliases:
        meaning = f"{meaning} Alias: {', '.join(map(code, key.aliases))}.".strip()
    return code(name), " or ".join(key.types), _need(name, key, action), prose(meaning)


def _need(name: str, key: Key, action: Action) -> str:
    if key.required:
        return "required"
    others = [other for other, one in action.keys.items() if key.one_of and one.one_of == key.one_of and other != name]
    return f"this or {', '.join(map(code, others))}" if others else ""


def _own_names(action: Action) -> Iterator[str]:
    """What the texts of keys know that the action evaluates itself, while it works or after its steps."""
    rows = []
    for name in action.unresolved:
        known = action.names.get(name)
        when = "after the steps inside" if name in action.after_bodies else "by the action, while it works"
        names = "names that cannot be listed" if known is None else ", ".join(map(code, known)) or "none of its own"
        rows.append((code(name), when, names))
    if rows:
        yield "## Evaluated by the action"
        yield table(("key", "evaluated", "names beside those of the flow"), rows)
