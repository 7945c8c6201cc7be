"""Compiles .proto texts and files, in a child process that can neither stay for ever nor take the worker with it."""

from __future__ import annotations

import asyncio
import importlib.resources
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from application.actions.grpc_schema import Schema, schema_of
from application.actions.project_files import missing
from application.engine.action import ActionContext, ActionError
from domain.limits import MIB

_SECONDS = 15.0
_MOST_FILES = 100
_NAME = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/){0,20}[A-Za-z0-9_-][A-Za-z0-9_.-]*\.proto")
_CHILD = f"""
import resource, sys
for what, most in ((resource.RLIMIT_CPU, 10), (resource.RLIMIT_FSIZE, {32 * MIB}), (resource.RLIMIT_AS, {2048 * MIB})):
    try:
        resource.setrlimit(what, (most, most))
    except (ValueError, OSError):
        pass
from grpc_tools import protoc
sys.exit(protoc.main(sys.argv))
"""


async def compile_texts(given: Any, context: ActionContext) -> Schema:
    """The schema of `proto`: one text, or an object of file names and texts that import one another."""
    texts = given if isinstance(given, Mapping) else {"inline.proto": given}
    if not 1 <= len(texts) <= _MOST_FILES or not all(isinstance(text, str) and text.strip() for text in texts.values()):
        raise ActionError("config", "proto must be the text of a .proto file, or an object of file names and texts")
    if sum(map(len, texts.values())) > context.limits.request_body_bytes:
        raise ActionError("config", f"proto is larger than {context.limits.request_body_bytes} bytes")
    for name in texts:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ActionError("config", "a name in proto must be a relative path that ends in .proto")
    with tempfile.TemporaryDirectory(prefix="proto") as folder:
        _write(Path(folder), texts)
        return await _compiled([Path(folder)], sorted(texts))


async def compile_files(given: Any, context: ActionContext) -> Schema:
    """The schema of `proto_file`: paths in the project folder; what they import is found there too."""
    paths = given if isinstance(given, list | tuple) else [given]
    if not 1 <= len(paths) <= _MOST_FILES:
        raise ActionError("config", f"proto_file must be a path, or a list of 1 to {_MOST_FILES}")
    if context.folder is None:
        hint = "write the text into proto, or leave both out where the server has reflection"
        raise ActionError("config", "proto_file needs a folder of files, and there is none here", hint=hint)
    root = context.folder.resolve()
    files = [_file(root, path, context) for path in paths]
    includes = dict.fromkeys(above for file in files for above in file.parents if above.is_relative_to(root))
    return await _compiled(list(includes), [str(file) for file in files])


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", "replace")


def _file(root: Path, given: Any, context: ActionContext) -> Path:
    most = context.limits.request_body_bytes
    if not isinstance(given, str) or not given.endswith(".proto"):
        raise ActionError("config", "proto_file must be a path that ends in .proto")
    try:
        path = (root / given).resolve()
        if Path(given).is_absolute() or not path.is_relative_to(root):
            raise ActionError("config", f"proto_file must lie in the project folder: {given[:200]!r} does not")
        if not path.is_file():
            raise ActionError("config", f"there is no file {given[:200]!r} in the project folder", hint=missing(context))
        if path.stat().st_size > most:
            raise ActionError("config", f"{given[:200]!r} is larger than {most} bytes")
    except (OSError, ValueError, RuntimeError):
        raise ActionError("config", f"proto_file cannot be read: {given[:200]!r}") from None
    return path


async def _compiled(includes: Sequence[Path], files: Sequence[str]) -> Schema:
    known = importlib.resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory(prefix="proto") as folder:
        out = Path(folder, "out")
        paths = [f"-I{path}" for path in (*includes, known)]
        code, said = await _run([*paths, "--include_imports", f"--descriptor_set_out={out}", *files])
        told = _told(said, includes) or f"the compiler ended with {code}"
        described = _read(out) if code == 0 else None
    if described is None:
        raise ActionError("config", f"proto cannot be compiled: {told}")
    return schema_of(described.file)


def _read(out: Path) -> descriptor_pb2.FileDescriptorSet | None:
    try:
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    except (OSError, DecodeError):
        return None


async def _run(arguments: Sequence[str]) -> tuple[int | None, str]:
    """The exit code and what the compiler said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _CHILD, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={},
    )
    try:
        async with asyncio.timeout(_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        raise ActionError("config", f"proto was not compiled within {_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, said.decode("utf-8", "replace")


def _told(said: str, includes: Sequence[Path]) -> str:
    """The compiler's first lines, places in files relative."""
    for path in includes:
        said = said.replace(f"{path}/", "")
    return "\n".join(line for line in said.splitlines() if line.strip() and "Traceback" not in line)[:1000]
