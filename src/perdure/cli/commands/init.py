"""`perdure init`: make a folder a project."""

from __future__ import annotations

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option


@click.command(
    "init",
    cls=Command,
    short_help="Make a folder a project.",
    examples="""
        perdure init
        perdure init my-project --example && cd my-project && perdure run app:greet --arg you
    """,
)
@click.argument("folder", default=".", type=click.Path(file_okay=False))
@click.option("--example", is_flag=True, help="Write an app.py with a small workflow that runs.")
@json_option
def command(folder: str, example: bool, as_json: bool) -> None:
    """Make FOLDER a project (by default the current one); it is made where it is missing.

    Writes a small perdure.toml with comments, and with --example an app.py. What is there already
    is left as it is.
    """
    import os
    from pathlib import Path

    from perdure.cli.output import print_json
    from perdure.cli.templates import APP, perdure_toml
    from perdure.core.errors import StoreUnusable
    from perdure.project.folder import init

    root = Path(folder).expanduser()
    written: list[str] = []
    kept: list[str] = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        project = init(root)
        root = project.root
        files = {"app.py": APP} if example else {}
        has_table = _has_table(root / "pyproject.toml")
        if not has_table:
            has_app = example or (root / "app.py").exists()
            files["perdure.toml"] = perdure_toml(modules=["app"] if has_app else [])
        for name, text in files.items():
            if (root / name).exists():
                kept.append(name)
                continue
            (root / name).write_text(text, encoding="utf-8")
            written.append(name)
    except OSError as error:
        raise StoreUnusable(
            f"cannot write into {root}: {error.strerror or error}; make the folder writable, or "
            "name another one"
        ) from error
    if as_json:
        print_json({"project": str(root), "written": written, "kept": kept})
        return
    click.echo(f"{root} is a project; its data is in .perdure/")
    for name in written:
        click.echo(f"wrote {name}")
    for name in kept:
        click.echo(f"kept {name} as it was")
    click.echo("\nNext:")
    if Path.cwd() != root:
        click.echo(f"  cd {os.path.relpath(root)}")
    if example and "app.py" in written:
        click.echo("  perdure run app:greet --arg you     a workflow with three steps and a pause")
        click.echo("  perdure list                        what has run")
        click.echo("  perdure events TID                  its journal, step by step")
    else:
        click.echo("  put @workflow above an async def in a module, then:")
        click.echo("  perdure run MODULE:NAME")
        begin = "NEW_FOLDER --example  " if "app.py" in kept else "--example             "
        click.echo(f"  perdure init {begin} writes one to begin with")


def _has_table(pyproject: object) -> bool:
    """Whether the settings stand in pyproject.toml already."""
    try:
        with open(str(pyproject), encoding="utf-8") as file:
            return "[tool.perdure" in file.read()
    except (OSError, UnicodeDecodeError):
        return False
