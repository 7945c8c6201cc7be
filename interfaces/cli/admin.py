"""`testmesh admin`: keys, users, migration and projections; keys work on the data folder too, without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.backup import backup, restore
from interfaces.cli.dead_letters import dead_letters
from interfaces.cli.errors import ExitCode
from interfaces.cli.flows import format_option, url_option
from interfaces.cli.tables import show_json, show_table
from interfaces.cli.up import config_option

if TYPE_CHECKING:
    from projections.view import Projection


@click.group()
def admin() -> None:
    """Administration."""


admin.add_command(dead_letters)
admin.add_command(backup)
admin.add_command(restore)


@admin.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, default=("flows:read", "flows:write", "runs:read", "runs:write"))
@click.option("--days", type=click.IntRange(1, 366), help="How long it lives; 90 unless set.")
@click.option("--offline", is_flag=True, help="Without a server: on the database of this machine's settings or data folder.")
@url_option
@config_option
def create_key(name: str, scopes: tuple[str, ...], days: int | None, offline: bool, url: str | None, config: str | None) -> int:
    """Make a key and print it, once."""
    if offline:
        with _platform(config) as platform:
            from domain.events import Actor
            from domain.workspace import workspace_uuid

            room = str(workspace_uuid("default"))
            issued = platform.identity.issue_key(Actor("user:offline"), room, name, list(scopes), days=days)
        text, expires = issued.text, issued.expires_at.isoformat()
    else:
        from interfaces.cli.client import connect_client

        with connect_client(url) as client:
            body = {"name": name, "scopes": list(scopes), "days": days}
            answer, position = client.command("POST", client.room("/keys"), body)
            client.get(client.room(), min_position=position)
        text, expires = answer["key"], answer["expires_at"]
    click.echo(text)
    print(f"valid until {expires}; it is not shown again", file=sys.stderr)
    return ExitCode.PASSED


@keys.command("ls")
@url_option
@format_option
def list_keys(url: str | None, form: str) -> int:
    """List keys without their secrets."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        items = client.pages(client.room("/keys"), 1000)
    if form == "json":
        show_json(items)
    else:
        columns = {"key_id": "KEY", "name": "NAME", "scopes": "SCOPES", "expires_at": "EXPIRES", "revoked": "REVOKED"}
        show_table(items, {**columns, "last_used_at": "LAST USED"})
    return ExitCode.PASSED


@keys.command("revoke")
@click.argument("key")
@url_option
def revoke_key(key: str, url: str | None) -> int:
    """End a key."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        client.remove(client.room("/keys", key))
    print(f"{key} works no more", file=sys.stderr)
    return ExitCode.PASSED


@admin.group()
def users() -> None:
    """Members of the workspace."""


@users.command("ls")
@url_option
@format_option
def list_users(url: str | None, form: str) -> int:
    """List members."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        items = client.get(client.room("/members"))["items"]
    if form == "json":
        show_json(items)
    else:
        show_table(items, {"user": "USER", "role": "ROLE", "since": "SINCE", "disabled": "DISABLED"})
    return ExitCode.PASSED


@users.command("add")
@click.argument("login")
@click.option("--role", type=click.Choice(["viewer", "editor", "admin", "owner"]), default="editor")
@url_option
def add_user(login: str, role: str, url: str | None) -> int:
    """Add a user to the workspace, or change the role."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        _, position = client.command("PUT", client.room("/members"), {"login": login, "role": role})
        client.get(client.room("/members"), min_position=position)
    print(f"{login} is {role} now", file=sys.stderr)
    return ExitCode.PASSED


@users.command("remove")
@click.argument("user")
@url_option
def remove_user(user: str, url: str | None) -> int:
    """Remove a user (the id of `users ls`) from the workspace."""
    from interfaces.cli.client import connect_client

    with connect_client(url) as client:
        client.remove(client.room("/members", user))
    print(f"{user} is out", file=sys.stderr)
    return ExitCode.PASSED


@admin.command()
@config_option
def migrate(config: str | None) -> int:
    """Bring the database to this version."""
    with _platform(config) as platform:
        for done in platform.migrate().values():
            print("migrated" if done.changed else "already at this version", file=sys.stderr)
            for role in done.missing_roles:
                print(f"warning: this account may not make the role {role}; see `testmesh doctor`", file=sys.stderr)
    return ExitCode.PASSED


@admin.group()
def projections() -> None:
    """Read models."""


@projections.command("ls")
@config_option
@format_option
def list_projections(config: str | None, form: str) -> int:
    """Positions of the read models, and how far each is behind."""
    from projections.positions import lag
    from projections.registry import LOGS, for_log

    with _platform(config) as platform:
        rows = [row for log in LOGS for row in lag(platform.readers(log).pool, for_log(log))]
    items = [{"log": log, "name": name, "position": at, "behind": head - at} for log, name, at, head in rows]
    if form == "json":
        show_json(items)
    else:
        show_table(items, {"log": "LOG", "name": "PROJECTION", "position": "POSITION", "behind": "BEHIND"})
    return ExitCode.PASSED


@projections.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--drop", is_flag=True, help="Do not keep the old rows, so that there is no way back.")
@click.option("--no-verify", is_flag=True, help="Do not replay the log a second time to compare the rows.")
@config_option
def rebuild(names: tuple[str, ...], drop: bool, no_verify: bool, config: str | None) -> int:
    """Make read models (or `all`) anew from the log, while the old ones serve.

    New tables are filled beside the old ones, compared with a second replay of the log to the same position, and exchanged
    with them in one transaction. The old ones are kept until the next rebuild: `rollback` returns to them.
    """
    from projections.rebuild import rebuild as again

    with _platform(config) as platform:
        for projection in _projections(names):
            pool, read = platform.owner(projection.log).pool, platform.logs[projection.log].read
            count = again(pool, projection, read, verify=not no_verify, keep=not drop)
            print(f"{projection.name}: {count} events", file=sys.stderr)
    return ExitCode.PASSED


@projections.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--drop", is_flag=True, help="Forget the old rows instead.")
@config_option
def rollback(names: tuple[str, ...], drop: bool, config: str | None) -> int:
    """Return to the rows that the last rebuild replaced, once they have taken the events since then."""
    from projections.rebuild import drop_old
    from projections.rebuild import rollback as back

    with _platform(config) as platform:
        for projection in _projections(names):
            pool = platform.owner(projection.log).pool
            if drop:
                drop_old(pool, projection)
                print(f"{projection.name}: the old rows are gone", file=sys.stderr)
                continue
            count = back(pool, projection, platform.logs[projection.log].read)
            print(f"{projection.name}: the old rows serve again, {count} events later", file=sys.stderr)
    return ExitCode.PASSED


def _projections(names: tuple[str, ...]) -> list[Projection]:
    """The projections of these names; NotFound, with all names, when there is none."""
    from domain.errors import NotFound
    from domain.near_words import nearest
    from projections.registry import PROJECTIONS

    known = {projection.name: projection for projection in PROJECTIONS}
    for name in () if names == ("all",) else names:
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {near}?" if near else ""
            raise NotFound(f"there is no projection {name!r}{hint}", remedy=f"choose from: all, {', '.join(known)}")
    return list(PROJECTIONS) if names == ("all",) else [known[name] for name in names]


@contextmanager
def _platform(config: str | None) -> Iterator[Any]:
    """The platform of this machine's settings; without a database URL, the embedded servers' data folder."""
    from interfaces.adapters.embedded import data_root
    from interfaces.bootstrap import Platform
    from interfaces.cli.up import _settings
    from interfaces.offline import embedded_settings

    settings, stop = embedded_settings(_settings(config), data_root())
    platform = Platform(settings)
    try:
        yield platform
    finally:
        platform.close()
        stop()
