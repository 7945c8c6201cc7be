"""`testmesh up` and the roles that can run alone: `server`, `worker`, `projector`, `scheduler`."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from interfaces.settings import Settings


def _settings(config: str | None, **given: Any) -> Settings:
    """Settings from environment and file, with the options given on the command line."""
    from dataclasses import replace

    from domain.limits import replace_limits
    from interfaces.settings import load

    file = _file(config)
    settings, warnings = load(os.environ, Path(file) if file else None)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    replace_limits(settings.limits)
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def _file(config: str | None) -> str | None:
    """The file of settings: given, or of the environment, or in this folder."""
    return config or os.environ.get("TESTMESH_CONFIG") or ("testmesh.toml" if Path("testmesh.toml").is_file() else None)


config_option = click.option("--config", type=click.Path(dir_okay=False), help="The server's settings (testmesh.toml).")


@click.command(context_settings={"auto_envvar_prefix": "TESTMESH_OPT"})
@click.option("--host", help="Address to listen on; 127.0.0.1 unless set.")
@click.option("--port", type=int, help="Port to listen on; 8080 unless set.")
@click.option("--workers", type=click.IntRange(0, 64), default=1, help="Worker processes.")
@click.option("--allow", multiple=True, help="What flows may reach besides public addresses: 127.0.0.1:9000-9100")
@click.option("--foreground-logs", is_flag=True, help="Write the roles' logs to stderr instead of files.")
@config_option
def up(host: str | None, port: int | None, workers: int, allow: tuple[str, ...], foreground_logs: bool, config: str) -> int:
    """Start everything in supervised processes: PostgreSQL and Valkey unless URLs are given, API, projector,
    scheduler, workers."""
    from interfaces.up import run_up

    settings = _settings(config, host=host, port=port)
    if allow:
        from dataclasses import replace

        settings = replace(settings, egress_allow=(*settings.egress_allow, *allow))
    _check_port(settings)
    return run_up(settings, workers=workers, foreground_logs=foreground_logs, config=_file(config))


def _check_port(settings: Settings) -> None:
    from domain.errors import Conflict
    from interfaces.supervisor import holder_of

    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Conflict(
                f"{settings.host}:{settings.port} cannot be used: {holder_of(settings.port)} holds it",
                remedy="choose another port with --port or TESTMESH_PORT",
            ) from error


@click.command(context_settings={"auto_envvar_prefix": "TESTMESH_OPT"})
@click.option("--host", help="Address to listen on; 127.0.0.1 unless set.")
@click.option("--port", type=int, help="Port to listen on; 8080 unless set.")
@config_option
def server(host: str | None, port: int | None, config: str | None) -> None:
    """Run the API (REST and WebSocket) until SIGTERM."""
    from interfaces.server import run_server

    run_server(_settings(config, host=host, port=port))


@click.command(context_settings={"auto_envvar_prefix": "TESTMESH_OPT"})
@click.option("--concurrency", type=click.IntRange(1, 1000), help="Executions at once; 16 unless set.")
@click.option("--label", "labels", multiple=True, help="What this worker has: gpu, region=eu. Runs may ask for it by runs_on.")
@config_option
def worker(concurrency: int | None, labels: tuple[str, ...], config: str | None) -> None:
    """Run an execution worker until SIGTERM, then drain."""
    from domain.queueing import checked_labels
    from interfaces.workers.roles import run_worker

    settings = _settings(config, worker_concurrency=concurrency)
    if labels:
        from dataclasses import replace

        settings = replace(settings, worker_labels=checked_labels([*settings.worker_labels, *labels], "--label"))
    run_worker(settings)


@click.command()
@config_option
def projector(config: str | None) -> None:
    """Run projections, dispatcher and sweeper until SIGTERM."""
    from interfaces.workers.roles import run_projector

    run_projector(_settings(config))


@click.command()
@config_option
def scheduler(config: str | None) -> None:
    """Let schedules tick until SIGTERM. Any number may run: each tick is decided once."""
    from interfaces.workers.roles import run_scheduler

    run_scheduler(_settings(config))
