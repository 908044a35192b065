"""`perdure demo`: see a workflow survive kill -9."""

from __future__ import annotations

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option


@click.command(
    "demo",
    cls=Command,
    short_help="See a workflow survive kill -9.",
    examples="""
        perdure demo
        perdure demo ~/src/my-project --keep
    """,
    codes="1: what must be true after the kill was not.",
)
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False))
@click.option("--keep", is_flag=True, help="Leave the demo's project for a look.")
@json_option
def command(folder: str | None, keep: bool, as_json: bool) -> int:
    """See a workflow survive kill -9.

    It reads a tree of Python files (by default the standard library of this interpreter), one
    durable step per file. Its worker is killed in the middle, and a new one finishes the run. Then
    the journal, and a log that the steps wrote beside it, show that no recorded step ran again and
    that none was lost. Takes less than a minute, in a temporary folder.
    """
    from perdure.cli.demo.play import play

    return play(folder, keep=keep, as_json=as_json)
