"""`perdure worker run`: this process executes the project's runs."""

from __future__ import annotations

import click

from perdure.cli.groups import Command


@click.command(
    "run",
    cls=Command,
    short_help="Work on the project's runs until stopped.",
    examples="""
        perdure worker run
        perdure worker run --module shop.orders --module shop.mails
        PERDURE_LOG_FORMAT=json perdure worker run --name night-1
    """,
    codes="0: stopped in good order. 1: a module cannot be imported, or a second signal forced the "
    "end.",
)
@click.option("--background", is_flag=True, help="Be the project's background worker (see below).")
@click.option("--name", help="What the worker is called; by default host:pid.")
@click.option(
    "--module",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this, too; may be repeated.",
)
def command(background: bool, name: str | None, modules: tuple[str, ...]) -> int:
    """Work on the project's runs until stopped.

    The modules that perdure.toml names are imported first; other code is imported when a run needs
    it. When the code on disk changes, the worker finishes what runs and starts afresh. SIGTERM or
    Ctrl-C ends it in good order: steps that run are waited for (the setting worker.drain), then
    handed back to other workers. A second signal hands them back at once.

    With --background it is the worker that the project otherwise starts for itself: the only one
    of its kind, and it ends when nothing is left to do. If there is one already, this ends at once.
    """
    import dataclasses

    from perdure.author import logs
    from perdure.cli import exits
    from perdure.cli.opening import refuse_memory
    from perdure.cli.shell import complain
    from perdure.client.connection import connect
    from perdure.client.host import hosting
    from perdure.core.errors import DiscoveryError
    from perdure.project.folder import find_or_create
    from perdure.project.settings import load
    from perdure.worker.leader import LeaderLock
    from perdure.worker.process import WorkerProcess

    project = find_or_create()
    lock = None
    if background:
        # First of all: a lock that was handed over stands in the environment, and nothing that
        # this process starts shall find it there.
        lock = LeaderLock(project.worker_lock(load(project).namespace))
        if not lock.try_acquire():
            return exits.OK
    connection = connect(project)
    settings = connection.settings
    refuse_memory(settings)
    logs.configure(level=settings.log.level, format=settings.log.format)
    process = WorkerProcess(
        project,
        dataclasses.replace(settings, modules=(*settings.modules, *modules)),
        connection.opener(),
        name=name,
        lock=lock,
        hosting=lambda worker: hosting(connection, worker),
    )
    try:
        return process.run()
    except DiscoveryError as error:
        complain(str(error))
        return exits.FAILED
