"""`testmesh flows`: push, list and show flows on a server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.tables import show_json, show_table
from interfaces.cli.terminal import one_line, printable

if TYPE_CHECKING:
    from pathlib import Path

    from interfaces.cli.planning.plan import Planned

url_option = click.option("--url", help="The server. Default: TESTMESH_URL, testmesh.yaml, then the saved credentials.")
format_option = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="What stdout carries."
)


@click.group()
def flows() -> None:
    """Flows on a server."""


@flows.command()
@click.argument("paths", nargs=-1)
@click.option("--project", help="The project that they belong to; testmesh.yaml's unless given.")
@click.option("--prune", is_flag=True, help="Archive the project's flows that are not among PATHS.")
@url_option
@format_option
def push(paths: tuple[str, ...], project: str | None, prune: bool, url: str | None, form: str) -> int:
    """Register or revise flows, with the files that they name. Nothing is stored unless every flow is valid."""
    from interfaces.cli.client import connect_client
    from interfaces.cli.planning.plan import plan
    from interfaces.cli.project import find_project
    from interfaces.cli.running.secret_variables import refuse_secret_files

    described, home = find_project(paths)
    planned, warnings = plan(paths, {})
    for warning in warnings:
        print(printable(str(warning)), file=sys.stderr)
    if not planned:
        print("no flow was selected", file=sys.stderr)
        return ExitCode.NOTHING
    refuse_secret_files(planned, described.secrets)
    body = {**_with_files(planned, home), "project": project or described.project or "", "prune": prune}
    with connect_client(url) as client:
        answer, position = client.command("POST", client.room("/flows"), body)
        client.get(client.room("/flows"), limit=1, min_position=position)
    if form == "json":
        show_json(answer)
    else:
        show_table(answer["items"], {"outcome": "OUTCOME", "revision": "REV", "name": "NAME", "path": "PATH", "id": "ID"})
        if answer["archived"]:
            print(f"{len(answer['archived'])} archived", file=sys.stderr)
    return ExitCode.PASSED


def _with_files(planned: Sequence[Planned], home: Path) -> dict[str, Any]:
    """The documents of a push, and the files that they name: each of these once, and none that is a document itself."""
    from interfaces.cli.planning.bundling import Bundler
    from interfaces.cli.sending import sent_files

    bundler = Bundler(home)
    documents: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for flow in planned:
        found = bundler.found(flow.text, flow.file)
        for warning in found.warnings:
            print(printable(str(warning)), file=sys.stderr)
        documents.append({"path": found.bundle.path, "text": flow.text, "files": sorted(found.bundle.files)})
        files.update(found.bundle.files)
    for document in documents:
        files.pop(document["path"], None)
    return {"documents": documents, "files": sent_files(files)}


@flows.command()
@click.option("--tag", help="Only flows with this tag.")
@click.option("--project", help="Only flows of this project.")
@click.option("--text", "-k", help="Only flows whose name, path or description contains this.")
@click.option("--archived", is_flag=True, help="Archived flows instead.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="How many at most.")
@url_option
@format_option
def ls(url: str | None, form: str, limit: int, archived: bool, **query: Any) -> int:
    """List flows by name."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        items = client.pages(client.room("/flows"), limit, archived=archived, **query)
    if form == "json":
        show_json(items)
    else:
        show_table(items, {"name": "NAME", "revision": "REV", "steps": "STEPS", "path": "PATH", "id": "ID"})
    return ExitCode.PASSED


@flows.command()
@click.argument("called")
@click.option("--revision", type=click.IntRange(1), help="An older revision's text.")
@click.option("--source", is_flag=True, help="Only the text, exactly.")
@url_option
@format_option
def get(called: str, revision: int | None, source: bool, url: str | None, form: str) -> int:
    """Show a flow by id, path, key or name."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        row = find_flow(client, called)
        if source or revision is not None:
            click.echo(client.get(client.room(f"/flows/{row['id']}/source"), revision=revision), nl=False)
            return ExitCode.PASSED
        revisions = client.get(client.room(f"/flows/{row['id']}/revisions"))["items"]
    if form == "json":
        show_json({**row, "revisions": revisions})
        return ExitCode.PASSED
    for name in ("name", "id", "project", "path", "description", "suite", "tags", "steps", "archived"):
        if row[name] not in ("", [], None):
            said = ", ".join(row[name]) if isinstance(row[name], list) else str(row[name])
            click.echo(f"{name:<12} {one_line(said)}")
    show_table(revisions, {"revision": "REV", "at": "AT", "actor": "BY", "digest": "DIGEST"})
    return ExitCode.PASSED


def find_flow(client: Any, called: str) -> dict[str, Any]:
    """The one flow that is called so; refusals name the choices."""
    from domain.errors import Conflict, NotFound

    found: list[dict[str, Any]] = client.get(client.room("/flows"), called=called)["items"]
    if not found:
        raise NotFound(f"there is no flow {called!r} on {client.url}", remedy="see `testmesh flows ls`")
    if len(found) > 1 and not found[1]["archived"]:
        names = ", ".join(f"{row['path']} ({row['id']})" for row in found)
        raise Conflict(f"{len(found)} flows are called {called!r}: {names}", remedy="use the id")
    return found[0]
