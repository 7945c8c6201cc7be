"""The program `testmesh`: its verbs, each imported only when it is used."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from interfaces.cli.errors import ExitCode, fail
from interfaces.cli.terminal import patient, prepare_streams, silence, size_of

VERBS: Mapping[str, tuple[str, str]] = {
    "init": ("init:init", "Begin a project: flows that pass at once, settings, a schema for the editor."),
    "run": ("running.run:run", "Run flows here, or on a server with --remote."),
    "list": ("listing:list_", "List flows, their steps and tags, without running them."),
    "watch": ("watching.watch:watch", "Run flows, and again what changes whenever it changes."),
    "debug": ("debugging.debug:debug", "Go through a flow step by step."),
    "report": ("saved.reporting:report", "Show a saved run again, or make any report of it."),
    "replay": ("saved.replaying:replay", "Step through a saved run; check its assertions again."),
    "diff": ("saved.comparing:diff", "Compare two saved runs."),
    "validate": ("validate:validate", "Check flow files and show every problem."),
    "fmt": ("formatting:fmt", "Format flow files without changing what they mean."),
    "import": ("importing:import_", "Make flows of curl commands, HAR, OpenAPI and Postman files."),
    "export": ("exporting:export", "Print flows as curl commands or a Postman collection."),
    "env": ("env:env", "Show the variables of flows, and where each value comes from."),
    "docs": ("docs:docs", "Print the reference of actions."),
    "schema": ("schema:schema", "Print the JSON Schema of flow files, for editors."),
    "demo": ("demo:demo", "Serve the small shop that the flows of a new project talk to."),
    "up": ("up:up", "Start everything: servers, API, projector, scheduler, workers."),
    "server": ("up:server", "Run the API alone."),
    "worker": ("up:worker", "Run an execution worker alone."),
    "projector": ("up:projector", "Run projections, dispatcher and sweeper alone."),
    "scheduler": ("up:scheduler", "Run a scheduler and the coordinator of suite runs alone."),
    "flows": ("flows:flows", "Push, list and show flows on a server."),
    "runs": ("runs:runs", "List, show, follow and cancel executions."),
    "queue": ("queue:queue", "Show locks, concurrency groups and workers of a server."),
    "suites": ("suites:suites", "List, show, follow, rerun and cancel suite runs."),
    "schedules": ("schedules:schedules", "Let flows run by themselves: cron, time zones, overlap, missed ticks."),
    "admin": ("admin:admin", "Keys, users, dead letters, backup, migration, projections."),
    "audit": ("audit:audit", "Check that nothing in the logs was changed since it was sealed."),
    "doctor": ("doctor:doctor", "Check this installation and say what is missing."),
    "version": ("version:version", "Show the version."),
    "completion": ("completion:completion", "Print the completion script of a shell."),
}
"""Module and command of each verb below interfaces.cli, and its line in the help."""


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the verb's module."""
        if name not in VERBS:
            return None
        module, command = VERBS[name][0].split(":")
        found: click.Command = getattr(importlib.import_module(f"interfaces.cli.{module}"), command)
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The help's table, without importing a verb."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])

    def resolve_command(self, context: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As usual, with the nearest verb when there is none of that name."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from domain.near_words import nearest

            near = nearest(args[0], VERBS)
            hint = f"; did you mean `testmesh {near}`?" if near else ""
            context.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(context, args)


def _help_width() -> int:
    """Columns of help, as click would choose them; it loads shutil and every compression for that."""
    text = os.environ.get("COLUMNS", "")
    columns = int(text) if text.isdigit() else 0
    if not columns:
        columns = 80 if sys.stdout is None else size_of(sys.stdout)[0]
    return max(min(columns, 80) - 2, 50)


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": _help_width()},
)
@click.option("--version", is_flag=True, help="The same as the command version.")
@click.pass_context
def testmesh(context: click.Context, version: bool) -> None:
    """Integration tests as YAML flows: run them here, in CI, and on workers."""
    if version:
        from interfaces.cli.version import version as show_version

        show_version.main(args=[], standalone_mode=False)
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; ends the process with the command's exit code, also when nobody reads its output any more."""
    prepare_streams()
    code = run(arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            with patient(stream):
                pass
        except Exception as error:
            code = fail(error)
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; its exit code. Every refusal is one message that says what to do."""
    try:
        _replace_limits()
        outcome: Any = testmesh.main(
            args=None if arguments is None else list(arguments), prog_name="testmesh", standalone_mode=False
        )
    except click.exceptions.Abort:
        return ExitCode.INTERRUPTED
    except click.exceptions.Exit as wanted:
        return wanted.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except BrokenPipeError:
        silence(sys.stdout)
        return ExitCode.PASSED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OSError as error:
        from domain.errors import Unavailable

        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return fail(Unavailable(f"something cannot be written: {error.strerror}") if full else error)
    except Exception as error:
        return fail(_away(error) or error)
    return outcome if isinstance(outcome, int) else ExitCode.PASSED


def _away(error: Exception) -> Exception | None:
    """A database or a queue that cannot be reached is no bug: the refusal to show instead."""
    from domain.errors import Unavailable

    psycopg: Any = sys.modules.get("psycopg")
    redis: Any = sys.modules.get("redis")
    told = str(error).strip().partition("\n")[0] or type(error).__name__
    if psycopg is not None and isinstance(error, psycopg.OperationalError):
        return Unavailable(
            f"PostgreSQL cannot be used: {told}",
            remedy="is it running, and is TESTMESH_DATABASE_URL right? `testmesh doctor` says what else is missing",
        )
    if psycopg is not None and isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return Unavailable(f"the database is not that of this version: {told}", remedy="run `testmesh admin migrate`")
    if redis is not None and isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError):
        return Unavailable(f"Redis cannot be used: {told}", remedy="is it running, and is TESTMESH_REDIS_URL right?")
    return None


def _replace_limits() -> None:
    """Limits of the environment, before anything reads one."""
    if any(name.startswith("TESTMESH_LIMIT_") for name in os.environ):
        from domain.limits import replace_limits
        from interfaces.limit_settings import read_limits

        replace_limits(read_limits(os.environ))


if __name__ == "__main__":
    main()
