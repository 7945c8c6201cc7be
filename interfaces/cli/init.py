"""`testmesh init`: a project that passes at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from interfaces.cli.terminal import printable

MARK = "Made by testmesh init"
FILES = ("testmesh.yaml", "flows/products.yaml", "flows/order.yaml", "flows/wrong_orders.yaml", ".env.example")
SCHEMA = ".testmesh/flow.schema.json"
IGNORED = (".env", "reports/", "*.tmrun")
_CI = {"github": ("github.yml", ".github/workflows/testmesh.yml")}


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False))
@click.option("--ci", type=click.Choice(list(_CI)), help="Add a workflow that runs the flows.")
@click.option("--force", is_flag=True, help="Replace what an earlier init made; never a file of your own.")
def init(folder: str, ci: str | None, force: bool) -> None:
    """Begin a project in FOLDER: settings, three flows that pass at once against a small shop that runs beside them, and a
    schema for the editor."""
    from interfaces.cli.schema import write

    home = Path(folder)
    wanted = _texts(home, ci)
    _refuse_what_is_there(home, wanted, force)
    for name, text in wanted.items():
        write(home / name, text)
        click.echo(printable(f"made {home / name}"))
    _ignore(home)
    go = "" if home.resolve() == Path.cwd() else f"cd {home} && "
    click.echo(printable(f"\nnow: {go}testmesh run"))
    click.echo("then: testmesh debug flows/order.yaml, testmesh watch, testmesh demo")


def _texts(home: Path, ci: str | None) -> Mapping[str, str]:
    """What each file is to hold."""
    import json
    from importlib.resources import files

    from interfaces.cli.schema import schema_of_all

    made = files("interfaces.cli") / "project_files"
    texts = {name: (made / name).read_text(encoding="utf-8") for name in FILES}
    texts["testmesh.yaml"] = texts["testmesh.yaml"].replace("${PROJECT}", json.dumps(_project_name(home)))
    if ci is not None:
        source, target = _CI[ci]
        texts[target] = (made / source).read_text(encoding="utf-8")
    return {**texts, SCHEMA: json.dumps(schema_of_all(), ensure_ascii=False) + "\n"}


def _project_name(home: Path) -> str:
    return home.resolve().name[:255] or "tests"


def _refuse_what_is_there(home: Path, wanted: Mapping[str, str], force: bool) -> None:
    """Raise Conflict, before anything is written, when a file would be lost."""
    from domain.errors import Conflict

    there = [name for name in wanted if (home / name).exists()]
    own = [name for name in there if not _is_ours(home / name, name)]
    if own:
        raise Conflict(f"{', '.join(own)} in {home} would be lost", remedy="move it, or choose another folder")
    if there and not force:
        raise Conflict(f"{home} has a project already: {', '.join(there)}", remedy="--force makes these files anew")


def _is_ours(path: Path, name: str) -> bool:
    """Whether an earlier init made it: the mark stands at its head."""
    if name == SCHEMA:
        return True
    try:
        with path.open(encoding="utf-8") as stream:
            return MARK in stream.read(500)
    except (OSError, UnicodeDecodeError):
        return False


def _ignore(home: Path) -> None:
    """Add to .gitignore what is missing there; lines of it are never changed."""
    from interfaces.cli.schema import write

    path = home / ".gitignore"
    text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    missing = [line for line in IGNORED if line not in text.splitlines()]
    if missing:
        before = text if not text or text.endswith("\n") else f"{text}\n"
        write(path, before + "\n".join(missing) + "\n")
        click.echo(printable(f"{'added to' if text else 'made'} {path}"))
