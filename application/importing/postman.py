"""Reading of Postman collections, version 2.1 and 2.0 (schema.postman.com): folders as files, or everything as one flow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from application.documents.language import expression_names
from application.importing.model import Body, Call, Draft, Imported
from application.importing.postman_presets import preset
from application.importing.postman_request import PostmanRequest
from application.importing.postman_scripts import TESTING, ScriptReader
from application.importing.postman_values import Names
from application.importing.reading import read_json
from application.importing.secrets import Vault, is_sensitive
from application.importing.text import Template, each_text, file_slug, refer, url_parts
from domain.errors import Invalid, LimitExceeded
from domain.limits import LIMITS
from domain.values import dataclass

_DEPTH = 20
_STATUS = re.compile(r"status", re.IGNORECASE)
_USED = re.compile(r"\$\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class _Script:
    """A script and whose it is: the collection's, a folder's, or, with no words, the request's own."""

    text: str
    owner: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request stands: the folders above it, and what it inherits from them."""

    folders: tuple[str, ...] = ()
    auth: Any = None
    tests: tuple[_Script, ...] = ()
    before: tuple[_Script, ...] = ()


@dataclass(slots=True)
class _Reading:
    """One import under way."""

    names: Names
    found: Imported
    variables: dict[str, Any] = field(default_factory=dict)
    drafts: dict[tuple[str, ...], Draft] = field(default_factory=dict)
    setters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)
    constants: dict[str, str] = field(default_factory=dict)
    told: set[tuple[str, str, str]] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict)
    count: int = 0


def read_postman(
    data: bytes, name: str, *, one_file: bool = False, environment: bytes | None = None, keep_secrets: bool = False
) -> Imported:
    """Flows by folder, or one with `one_file`. `environment` is an exported environment of Postman, whose values count as
    those of the collection. Invalid for anything but a collection of version 2."""
    collection = _checked(read_json(data, name))
    reading = _Reading(Names(), Imported())
    title = _text(_dict(collection.get("info")).get("name")) or "Collection"
    _variables(reading, collection.get("variable"))
    if environment is not None:
        _variables(reading, _dict(read_json(environment, "the environment")).get("values"))
    place = _below(_Place(), collection, None)
    for step_name, item, where in _requests(collection, place, 0):
        _request(reading, title, step_name, item, where, one_file)
    if not reading.drafts:
        raise Invalid("the collection has no requests")
    for draft in reading.drafts.values():
        _finish(reading, draft, keep_secrets)
        reading.found.drafts.append(draft)
    _tell(reading)
    reading.found.limit_calls()
    return reading.found


def _checked(value: Any) -> dict[str, Any]:
    found = _dict(value)
    found = _dict(found["collection"]) if isinstance(found.get("collection"), dict) else found
    if not isinstance(found.get("item"), list):
        old = "requests" in found
        told = "a collection of version 1" if old else "no Postman collection: it has no items"
        raise Invalid(f"this is {told}; versions 2.0 and 2.1 are read", remedy="in Postman: Export, Collection v2.1")
    return found


def _variables(reading: _Reading, listed: Any) -> None:
    for item in _dicts(listed):
        key = _text(item.get("key")) or _text(item.get("id"))
        if key and item.get("disabled") is not True and item.get("enabled") is not False:
            value = item.get("value")
            secret = item.get("type") == "secret"
            reading.variables[reading.names.name_of(key)] = None if secret else value


def _below(place: _Place, holder: dict[str, Any], folder: str | None) -> _Place:
    """The place inside a folder or collection."""
    auth = holder.get("auth")
    own = "request" in holder
    owner = "" if own else f" of the folder {folder}" if folder is not None else " of the collection"
    before, tests = ([_Script(text, owner) for text in texts] for texts in _scripts(holder))
    return _Place(
        (*place.folders, folder) if folder is not None else place.folders,
        auth if isinstance(auth, dict) else place.auth,
        (*place.tests, *tests),
        (*place.before, *before),
    )


def _scripts(holder: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Pre-request and test scripts."""
    found: dict[str, list[str]] = {"prerequest": [], "test": []}
    for event in _dicts(holder.get("event")):
        script = _dict(event.get("script"))
        lines = script.get("exec")
        text = "\n".join(str(line) for line in lines) if isinstance(lines, list) else _text(lines)
        if _text(event.get("listen")) in found and text.strip() and event.get("disabled") is not True:
            found[event["listen"]].append(text)
    return found["prerequest"], found["test"]


def _requests(holder: dict[str, Any], place: _Place, depth: int) -> Iterator[tuple[str, dict[str, Any], _Place]]:
    if depth > _DEPTH:
        raise LimitExceeded(f"folders are nested more than {_DEPTH} deep")
    for item in _dicts(holder.get("item")):
        name = _text(item.get("name"))
        if isinstance(item.get("item"), list):
            yield from _requests(item, _below(place, item, name or "folder"), depth + 1)
        elif "request" in item:
            yield name, item, place


def _request(reading: _Reading, title: str, name: str, item: dict[str, Any], place: _Place, one_file: bool) -> None:
    reading.count += 1
    if reading.count > LIMITS.push_documents * LIMITS.steps:
        raise LimitExceeded("the collection has too many requests")
    key = () if one_file else place.folders
    if key not in reading.drafts:
        draft = Draft(" / ".join((title, *key)) if key else title, comments=[f"Imported from the Postman collection {title}."])
        draft.file = key[-1] if key else title
        draft.folder = tuple(file_slug(part, "folder") for part in (title, *key)[:-1]) if key else ()
        reading.drafts[key] = draft
    draft = reading.drafts[key]
    draft.config = {"fail_fast": False}
    inherited = _below(place, item, None)
    call = PostmanRequest(reading.names, reading.found).read(item, inherited.auth)
    call.name = " / ".join((*place.folders, name)) if one_file else name
    call.name = call.name or f"{call.method} {url_parts(call.url).path or '/'}"
    _before(reading, draft, call, inherited.before)
    _tests(reading, key, call, inherited.tests)
    draft.calls.append(call)


def _before(reading: _Reading, draft: Draft, call: Call, scripts: tuple[_Script, ...]) -> None:
    for script in scripts:
        found = preset(script.text, reading.names.text, lambda name: refer(reading.names.read(name)))
        for name, value in found.variables.items():
            ours = reading.names.name_of(name)
            late = isinstance(value, Template) and any(used in reading.setters for used in _USED.findall(value))
            same = reading.variables.get(ours) in (value, str(value), "", None) and draft.env.get(ours, value) == value
            if same and not late:
                if ours in draft.env and isinstance(value, Template):
                    reading.found.warn(f"{ours} is made anew for each request in Postman, and once for a flow here")
                draft.env[ours] = value
            else:
                found.left.append(f'set("{name}", ...)')
        for name, text in found.headers:
            if text is None or name in found.replaced:
                call.without_header(name.lower())
            if text is not None:
                call.headers.append((name, text))
        _leave(reading, draft, call, found.left, "pre-request script", script.owner)


def _tests(reading: _Reading, key: tuple[str, ...], call: Call, scripts: tuple[_Script, ...]) -> None:
    draft, untested = reading.drafts[key], False
    for script in scripts:
        translated = ScriptReader(reading.names.read, lambda value: _constant(reading, draft, value)).read(script.text)
        call.asserts += [
            check.expression if check.expression.startswith("status") and _STATUS.search(check.message) else check
            for check in translated.checks
        ]
        for name, path in translated.outputs.items():
            call.outputs[name] = path
            reading.setters.setdefault(name, key)
            if is_sensitive(name):
                call.secret_outputs.append(name)
        reading.columns |= translated.columns
        untested = untested or any(TESTING.search(statement) for statement in translated.left)
        _leave(reading, draft, call, translated.left, "test script", script.owner)
    call.secret_outputs = list(dict.fromkeys(call.secret_outputs))
    if untested and not call.asserts:
        call.comments.append("No test of this request was translated: the step passes with any answer.")
        reading.found.left_out["requests without any translated test, whose steps pass with any answer"] += 1


def _constant(reading: _Reading, draft: Draft, value: Any) -> str:
    """The variable that holds a literal, such as a schema; equal ones share it."""
    text = json.dumps(value, sort_keys=True)
    if text not in reading.constants:
        reading.constants[text] = reading.names.reserve("schema" if isinstance(value, dict) else "list")
    name = reading.constants[text]
    draft.env[name] = value
    return name


def _leave(reading: _Reading, draft: Draft, call: Call, left: list[str], what: str, owner: str) -> None:
    """Keep statements as comments: those of a request before its step, those of a folder or collection once in each file.
    Each is counted once."""
    comments = draft.comments if owner else call.comments
    head = f"Not translated from the {what}{owner}:"
    lines = [f"  {line}" for statement in left for line in statement[:2000].splitlines()[:40]]
    if left and not (owner and head in comments):
        comments += [head, *lines]
    fresh = [one for one in left if not owner or (what, owner, one) not in reading.told]
    reading.told |= {(what, owner, one) for one in fresh}
    if fresh:
        reading.found.left_out[f"statements of {what}s, kept as comments"] += len(fresh)


def _finish(reading: _Reading, draft: Draft, keep_secrets: bool) -> None:
    """Give the flow the variables that it reads: from the collection, else from outside."""
    made = {name for call in draft.calls for name in call.outputs}
    pending, seen = _read_by(draft), set[str]()
    for name in pending:
        if name in seen or name in draft.env or name not in reading.names.used:
            continue
        seen.add(name)
        value = reading.variables.get(name)
        hidden = is_sensitive(name) and not keep_secrets
        if value in (None, "") or hidden:
            if name not in made:
                told = "a column of the rows: --data FILE" if name in reading.columns else "a variable of Postman"
                draft.given[name] = "a credential" if hidden else told
            continue
        draft.env[name] = reading.names.value(value)
        if isinstance(draft.env[name], Template):
            pending += _USED.findall(draft.env[name])
    elsewhere = [name for name in draft.given if name in reading.setters]
    if elsewhere:
        names = ", ".join(sorted(elsewhere))
        reading.found.warn(f"{draft.name}: {names} is set by a request of another file; --one-file keeps them together")
    vault = Vault(draft, keep_secrets, names=reading.secrets, taken=reading.names.known.values())
    typed = {*reading.setters, *(name for name, value in draft.env.items() if not isinstance(value, str))}
    for call in draft.calls:
        if call.body is not None and call.body.kind in ("json", "graphql"):
            call.body = Body(call.body.kind, each_text(call.body.value, lambda text: _as_text(text, typed)))
        vault.call(call)


def _as_text(text: str, typed: set[str]) -> str:
    """In JSON, what Postman puts between quotes is text, and outputs and numbers of ours keep their type."""
    whole = re.fullmatch(r"\$\{(\w+)\}", text) if isinstance(text, Template) else None
    return refer(f"string({whole[1]})") if whole and (whole[1] in typed or whole[1].startswith("TIMESTAMP")) else text


def _read_by(draft: Draft) -> list[str]:
    """The names that the flow reads, in their order."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, Template):
            found.extend(_USED.findall(value))
        elif isinstance(value, dict):
            for item in value.values():
                look(item)
        elif isinstance(value, list | tuple):
            for item in value:
                look(item)

    for call in draft.calls:
        look([call.url, call.headers, call.params, call.cookies, call.auth, call.options, call.body and call.body.value])
        for check in call.asserts:
            found.extend(sorted(expression_names(check if isinstance(check, str) else check.expression)))
        for path in call.outputs.values():
            found.extend(sorted(expression_names(path)))
    look(draft.env)
    return found


def _tell(reading: _Reading) -> None:
    if reading.names.unknown:
        names = ", ".join(sorted(reading.names.unknown)[:10])
        reading.found.warn(f"dynamic variables without a counterpart stay as text: {names}")
    if reading.names.faker:
        reading.found.warn("FAKER.* needs the extra testmesh[faker]")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
