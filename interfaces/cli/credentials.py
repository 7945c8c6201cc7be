"""Where the server is and which key opens it: flags, then the environment, then testmesh.yaml, then the credentials file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import orjson

from domain.errors import Invalid, Unavailable
from domain.values import dataclass

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A server and a key of it."""

    url: str
    key: str


def file_path() -> Path:
    """The credentials file, below the user's configuration folder."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "testmesh" / "credentials.json"


def save(url: str, key: str) -> Path:
    """Keep them for this user alone (0600)."""
    path = file_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps({"url": url, "key": key}))
    partial.replace(path)
    return path


def find(url: str | None = None) -> Credentials:
    """The server and key to use. Unavailable says where to put them.

    A key of the environment is sent to a server that only testmesh.yaml names when that is on this machine: whoever writes a
    repository must not be able to collect the keys of those who run it.
    """
    from interfaces.cli.project import find_project

    saved = _saved()
    project, _ = find_project()
    named = url or os.environ.get("TESTMESH_URL")
    chosen = _address(named or project.url or saved.get("url") or DEFAULT_URL)
    key = os.environ.get("TESTMESH_API_KEY", "").strip() or _key_file()
    if key and not named and project.url and not (_is_here(chosen) or saved.get("url", "").rstrip("/") == chosen):
        raise Invalid(
            f"testmesh.yaml names the server {chosen}, and the API key of the environment is not sent there unasked",
            remedy=f"if the key is for that server, set TESTMESH_URL={chosen} beside it, or give --url",
        )
    if not key and saved.get("url", "").rstrip("/") == chosen:
        key = saved.get("key", "")
    if not key:
        raise Unavailable(
            f"no API key for {chosen}",
            remedy="set TESTMESH_API_KEY (or TESTMESH_API_KEY_FILE), or start a server here with `testmesh up`",
        )
    return Credentials(chosen, _sendable(key))


def _address(url: str) -> str:
    """The URL as it is used; Invalid when it is none."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isprintable() or parts.query or parts.fragment:
        raise Invalid(f"{url!r} is not the URL of a server", remedy="write it like http://127.0.0.1:8080")
    return url.rstrip("/")


def _is_here(url: str) -> bool:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


def _sendable(key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid("the API key has characters that no key has", remedy="it begins with tmk_; copy it as it was shown")
    return key


def _key_file() -> str:
    path = os.environ.get("TESTMESH_API_KEY_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise Unavailable(f"TESTMESH_API_KEY_FILE {path} cannot be read: {why}") from error


def _saved() -> dict[str, str]:
    try:
        found = orjson.loads(file_path().read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}
