"""The command `perdure`: the everyday verbs, and what stands under nouns."""

from __future__ import annotations

import click

from perdure._version import __version__
from perdure.cli.groups import LazyGroup

COMMANDS = {
    "init": ("perdure.cli.commands.init", "Make a folder a project."),
    "demo": ("perdure.cli.commands.demo", "See a workflow survive kill -9."),
    "run": ("perdure.cli.commands.run", "Run a workflow or function, and print its result."),
    "list": ("perdure.cli.commands.list", "List the latest runs."),
    "status": ("perdure.cli.commands.status", "Show all about one run."),
    "result": ("perdure.cli.commands.result", "Print what a run returned."),
    "events": ("perdure.cli.commands.events", "Read the journal of a run."),
    "wait": ("perdure.cli.commands.wait", "Wait until a run is finished."),
    "cancel": ("perdure.cli.commands.cancel", "Ask a run to end."),
    "retry": ("perdure.cli.commands.retry", "Try stuck runs again."),
    "worker": ("perdure.cli.worker", "Run workers, look at them, stop them."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
@click.version_option(__version__, "--version", "-V", message="perdure %(version)s")
def root() -> None:
    """Durable functions for Python.

    Write an ordinary typed function; Perdure makes it last.
    """
