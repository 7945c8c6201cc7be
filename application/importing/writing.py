"""The writer: drafts as flow files, in the order and style of the language's own examples, with comments."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from application.actions.registry import ACTIONS
from application.documents.scalars import resolve
from application.flow_documents import normalised, read_flow
from application.importing.model import Call, Check, Draft
from application.importing.text import free, rendered, slug
from domain.errors import Invalid, InvalidFlow

_WIDTH = 4096
_NAME_LENGTH = 255


def write_flow(draft: Draft, actions: Mapping[str, Any] = ACTIONS) -> str:
    """The text of a draft. Invalid, naming the draft, when what was imported cannot be a flow (too large, too deep)."""
    name_steps(draft)
    content = _content(draft)
    text = _head(draft) + _dump(_commented(content, draft))
    try:
        read_flow(text, file=draft.name, actions=actions)
        same = json.loads(normalised(text)) == json.loads(json.dumps(content["flow"]))
    except InvalidFlow as invalid:
        problem = invalid.problems[0]
        raise Invalid(f'"{draft.name}" cannot be a flow: {problem.title}', remedy=problem.remedy) from None
    if not same:
        raise Invalid(f'"{draft.name}" cannot be written without changing it', remedy="please report it with the input")
    return text


def name_steps(draft: Draft) -> None:
    """Give each step an id of its own that is no variable's name either."""
    taken = {*draft.env, *draft.given, *(name for call in draft.calls for name in call.outputs)}
    for call in draft.calls:
        call.id = free(slug(call.id or call.name or f"{call.method}_{call.url.partition('?')[0]}", most=40), taken)
        taken.add(call.id)


def _content(draft: Draft) -> dict[str, Any]:
    flow: dict[str, Any] = {"name": _name(draft.name) or "Imported"}
    if draft.description:
        flow["description"] = rendered(draft.description)
    if draft.tags:
        flow["tags"] = list(draft.tags)
    if draft.env:
        flow["env"] = _rendered(draft.env)
    if draft.config:
        flow["config"] = dict(draft.config)
    flow["steps"] = [_step(call) for call in draft.calls]
    return {"flow": flow}


def _name(text: str) -> str:
    """A name as the language allows it: not blank, not too long."""
    made = rendered(text)
    return rendered(text[:50]) if len(made) > _NAME_LENGTH else (made if made.strip() else "")


def _step(call: Call) -> dict[str, Any]:
    step: dict[str, Any] = {"id": call.id}
    if name := _name(call.name):
        step["name"] = name
    if call.description:
        step["description"] = rendered(call.description)
    step |= {"action": "http_request", "config": _config(call)}
    if call.asserts:
        step["assert"] = [_check(check) for check in dict.fromkeys(call.asserts)]
    if call.outputs:
        step["output"] = dict(call.outputs)
    if call.secret_outputs:
        step["secret_outputs"] = list(call.secret_outputs)
    if call.disabled:
        step["disabled"] = True
    return step


def _check(check: str | Check) -> Any:
    if isinstance(check, str):
        return check
    return {"expression": check.expression, "message": rendered(check.message)} if check.message else check.expression


def _config(call: Call) -> dict[str, Any]:
    config: dict[str, Any] = {"method": call.method, "url": call.url}
    if call.params:
        config["params"] = _gathered(call.params)
    if call.headers:
        config["headers"] = _gathered(call.headers)
    if call.cookies:
        config["cookies"] = call.cookies
    if call.auth:
        config["auth"] = call.auth
    if call.body is not None:
        config[call.body.kind] = call.body.value
    rendered_config: dict[str, Any] = _rendered(config | call.options)
    return rendered_config


def _gathered(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Pairs as an object; a name that repeats has a list."""
    found: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(names.setdefault(name, name), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _rendered(value: Any) -> Any:
    if isinstance(value, str):
        return rendered(value)
    if isinstance(value, dict):
        return {rendered(key): _rendered(item) for key, item in value.items()}
    return [_rendered(item) for item in value] if isinstance(value, list | tuple) else value


def _commented(content: dict[str, Any], draft: Draft) -> Any:
    """The content as ruamel's nodes, with the comments of steps before them."""
    node = _node(content)
    steps = node["flow"]["steps"]
    for place, call in enumerate(draft.calls):
        if call.comments:
            steps.yaml_set_comment_before_after_key(place, before="\n".join(_lines(call.comments)), indent=4)
    return node


def _lines(comments: list[str]) -> list[str]:
    return [_safe(line) for text in comments for line in text.splitlines()]


def _safe(line: str) -> str:
    """A line of a comment, without what no document may hold."""
    line = line.lstrip("#")
    return "".join(character if character == "\t" or character.isprintable() else " " for character in line).rstrip()[:500]


def _node(value: Any) -> Any:
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, dict):
        found = CommentedMap()
        for key, item in value.items():
            found[_scalar(key)] = _node(item)
        return found
    if isinstance(value, list):
        return CommentedSeq([_node(item) for item in value])
    return _scalar(value) if isinstance(value, str) else value


def _scalar(text: str) -> Any:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

    if "\n" in text and _block(text):
        return LiteralScalarString(text)
    odd = any(not character.isprintable() for character in text)
    if odd or text.startswith(("<<", "=")) or not isinstance(resolve_or_text(text), str):
        return DoubleQuotedScalarString(text)
    return text


def _block(text: str) -> bool:
    """Whether a text survives as a literal block: no blanks at the wrong places, nothing but printable characters."""
    return (
        text.strip() != ""
        and not text.startswith((" ", "\n", "\t"))
        and all(character in "\n\t" or character.isprintable() for character in text)
        and "\n" in text.rstrip("\n")
        and not any(line != line.rstrip() for line in text.split("\n"))
    )


def resolve_or_text(text: str) -> Any:
    """What our reader makes of a plain scalar; None for a number that it refuses."""
    try:
        return resolve(text)
    except ValueError:
        return None


def _dump(node: Any) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null"))
    stream = io.StringIO()
    yaml.dump(node, stream)
    return stream.getvalue()


def _head(draft: Draft) -> str:
    lines = _lines(draft.comments)
    if draft.given:
        lines.append("Give these before running, with --var NAME=VALUE or in the environment as TESTMESH_VAR_<NAME>:")
        lines += [_safe(f"  {name}: {what}") for name, what in draft.given.items()]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)
