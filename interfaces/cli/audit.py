"""`testmesh audit`: whether anything in the logs was changed since it was sealed, and what to keep elsewhere to tell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.terminal import printable
from interfaces.cli.up import config_option

if TYPE_CHECKING:
    from application.audit import Audited
    from application.seals import SignedSeal

_LOGS = ("flows", "executions", "schedules", "identity")
_TEXT_BYTES = 1024 * 1024


@click.group()
def audit() -> None:
    """Sealed logs: verify them, and print what to keep elsewhere."""


@audit.command()
@click.option(
    "--since", help="Checkpoints kept elsewhere: a file, or their text. They show what was taken away or sealed anew."
)
@click.option("--log", "logs", multiple=True, type=click.Choice(_LOGS), help="Only this log; may be repeated.")
@click.option("--key", help="The public key of `testmesh audit key`, where the key file is not.")
@config_option
def verify(since: str | None, logs: tuple[str, ...], key: str | None, config: str | None) -> int:
    """Compare every event with its seal, and every seal with its signature and the one before it.

    Ends with 1 and names the first event (its notification id) that is not as it was sealed; with 0 when everything is.
    Without --since, the checkpoint file of this installation is taken, if there is one.
    """
    from application.audit import audit as audit_log
    from application.seals import read_checkpoints, read_public, signing_key
    from interfaces.cli.admin import _platform

    with _platform(config) as platform:
        kept = read_checkpoints(_text(since, platform.settings.checkpoint_file))
        public = read_public(key) if key else signing_key(platform.key).public_key()
        wrong = False
        for log in logs or _LOGS:
            with platform.auditors(log).connect() as connection:
                seen = audit_log(connection, log, public, kept)
            click.echo(printable(_told(seen, [one for one in kept if one.seal.log == log])))
            wrong = wrong or seen.finding is not None
    return ExitCode.FAILED if wrong else ExitCode.PASSED


@audit.command()
@click.option("--log", "logs", multiple=True, type=click.Choice(_LOGS), help="Only of this log; may be repeated.")
@config_option
def checkpoint(logs: tuple[str, ...], config: str | None) -> int:
    """Print the newest seal of each log, a line each: keep it where nobody who runs this installation can change it."""
    from application.seals import newest
    from interfaces.cli.admin import _platform

    with _platform(config) as platform:
        for log in logs or _LOGS:
            with platform.auditors(log).connect() as connection:
                found = newest(connection, log)
            if found:
                click.echo(found.line)
            else:
                print(f"{log} has no seal yet", file=sys.stderr)
    return ExitCode.PASSED


@audit.command()
@config_option
def key(config: str | None) -> int:
    """Print the public key; with it, `testmesh audit verify --key` needs no key file."""
    from application.seals import public_text, signing_key
    from interfaces.cli.admin import _platform

    with _platform(config) as platform:
        click.echo(public_text(signing_key(platform.key).public_key()))
    return ExitCode.PASSED


def _text(since: str | None, file: str) -> str:
    """The checkpoints' text: of the option, of the file that it names, or of the installation's file."""
    from domain.errors import Invalid

    if since is not None and since.startswith("testmesh-seal-"):
        return since
    path = Path(since if since is not None else file)
    if since is None and (not file or not path.exists()):
        return ""
    try:
        with path.open() as opened:
            return opened.read(_TEXT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"the checkpoints {str(path)[:200]!r} cannot be read: {error}", code="invalid_checkpoint") from error


def _told(seen: Audited, kept: list[SignedSeal]) -> str:
    """A line for a log."""
    if seen.finding:
        return f"CHANGED  {seen.log}: event {seen.finding.position}: {seen.finding.what}"
    since = f", {_count(len(kept), 'checkpoint')} as kept" if kept else ""
    sealed = f"{_count(seen.events, 'event')} in {_count(seen.seals, 'seal')} up to {seen.last}"
    return f"ok       {seen.log}: {sealed}{since}; {seen.unsealed} not sealed"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
