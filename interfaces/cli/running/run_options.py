"""The options of `testmesh run`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from interfaces.cli.options import DURATION

_OPTIONS = (
    click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; wins over every other source."),
    click.option("--env-file", "env_files", multiple=True, type=click.Path(dir_okay=False), help="A file of variables."),
    click.option("-e", "--env", "environment", help="An environment of testmesh.yaml."),
    click.option("--var-file", "var_files", multiple=True, type=click.Path(dir_okay=False), help="Variables, as YAML or JSON."),
    click.option(
        "--data", type=click.Path(dir_okay=False), help="Rows for every flow (CSV, JSON or JSON lines): each is a case."
    ),
    click.option("--secret", "secrets", multiple=True, metavar="NAME", help="A variable whose value is masked everywhere."),
    click.option("--tags", help="Only flows with these tags: 'smoke and not slow', or commas for either."),
    click.option(
        "--suite", metavar="NAME", help="Only flows of this suite. With --remote and no PATHS: of those pushed to the server."
    ),
    click.option("--case", "cases", multiple=True, metavar="KEY", help="Only this row of data; may be repeated."),
    click.option("-k", "text", help="Only flows whose name or file contains this."),
    click.option(
        "-j",
        "--jobs",
        help="How many flows run at once, in at most one process a core; `auto` for one flow a core. One unless given; with"
        " --remote as many as the server allows.",
    ),
    click.option("--shard", metavar="I/N", help="Only every N-th flow, beginning with the I-th, for N machines."),
    click.option("--last-failed", is_flag=True, help="Only what did not pass last time in this project."),
    click.option(
        "--shuffle", is_flag=False, flag_value="", metavar="[=SEED]", help="In an order by chance; a seed repeats it."
    ),
    click.option("--seed", help="Reproduce the random values of a run."),
    click.option("--repeat", type=click.IntRange(1, 10_000), default=1, help="Run everything so often."),
    click.option("--retries", type=click.IntRange(0, 10), default=0, help="Run a flow that does not pass so often again."),
    click.option("--fail-fast", is_flag=True, help="End the run at the first flow that does not pass; teardown still runs."),
    click.option("--max-failures", type=click.IntRange(0), default=0, help="The same after so many."),
    click.option("--max-duration", type=DURATION, help="End the whole run after this long, such as 10m; teardown still runs."),
    click.option("--fail-on-flaky", is_flag=True, help="A pass on a retry counts as a failure."),
    click.option("--update-snapshots", is_flag=True, help="Accept every snapshot() as it is now."),
    click.option(
        "--report",
        "reports",
        multiple=True,
        metavar="KIND=PATH",
        help="junit, json, jsonl, html, markdown, tap, github, gitlab.",
    ),
    click.option("--save", type=click.Path(dir_okay=False), help="Save the run's events, masked, such as run.tmrun."),
    click.option("--github/--no-github", default=None, help="Annotations and step summary; on in GitHub Actions."),
    click.option(
        "--show-response",
        "responses",
        type=click.Choice(["always", "failed", "never"]),
        default="failed",
        help="Of which steps to show request and response.",
    ),
    click.option("--curl", is_flag=True, help="Show every HTTP request as a curl command."),
    click.option("--progress", type=click.Choice(["auto", "tree", "plain", "none"]), default="auto", help="The live view."),
    click.option("--format", "form", type=click.Choice(["text", "json", "jsonl"]), default="text", help="What stdout carries."),
    click.option("-q", "--quiet", is_flag=True, help="Only failures and the summary."),
    click.option("-v", "--verbose", is_flag=True, help="Show every step of every flow."),
    click.option("--no-color", is_flag=True, help="No colours."),
    click.option("--remote", is_flag=True, help="Run on the server instead of here."),
    click.option("--pushed", is_flag=True, help="With --remote: flows as they were pushed, by --suite, --tags or one folder."),
    click.option(
        "--matrix", multiple=True, metavar="NAME=A,B", help="With --remote: run all with each value; may be repeated."
    ),
    click.option(
        "--priority", type=click.Choice(["low", "normal", "high"]), help="With --remote: which of the waiting come first."
    ),
    click.option(
        "--runs-on", multiple=True, metavar="LABEL", help="With --remote: what the worker must have; may be repeated."
    ),
    click.option("--queue-timeout", metavar="DURATION", help="With --remote: how long to wait for a worker, 10m."),
    click.option("--follow/--detach", default=True, help="With --remote: wait for the verdicts, or only print the id."),
    click.option("--idempotency-key", help="With --remote: the same key again is the same run."),
    click.option("--timeout", type=DURATION, help="With --remote: end the whole run after this long; as --max-duration."),
    click.option("--url", help="The server. Default: TESTMESH_URL, testmesh.yaml, then the credentials of `testmesh up`."),
)
"""In the order in which help shows them."""


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function all of them; `from_environment` reads them from the environment too."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
