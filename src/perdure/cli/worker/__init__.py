"""The commands about workers."""

from __future__ import annotations

import click

from perdure.cli.groups import LazyGroup

COMMANDS = {
    "run": ("perdure.cli.worker.run", "Work on the project's runs until stopped."),
    "status": ("perdure.cli.worker.status", "Show the workers, and whether they live."),
    "stop": ("perdure.cli.worker.stop", "Stop the background worker, or all of this host."),
}


@click.group("worker", cls=LazyGroup, table=COMMANDS)
def command() -> None:
    """Run workers, look at them, stop them."""
