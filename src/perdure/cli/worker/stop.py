"""`perdure worker stop`: ask workers to end in good order."""

from __future__ import annotations

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option
from perdure.cli.parameters import DURATION


@click.command(
    "stop",
    cls=Command,
    short_help="Stop the background worker, or all of this host.",
    examples="""
        perdure worker stop
        perdure worker stop --all --timeout 1m
    """,
    codes="124: a worker still drains after the timeout; it ends when its steps are done.",
)
@click.option("--all", "every", is_flag=True, help="All workers of this project on this host.")
@click.option(
    "--timeout", type=DURATION, help="Wait at most so long; by default worker.drain and 10 s."
)
@json_option
def command(every: bool, timeout: float | None, as_json: bool) -> int:
    """Stop the project's background worker, and wait until it is gone.

    With --all the workers that were started by hand on this host, too; a program that hosts a
    worker is left alone. A worker finishes the steps that run, or hands them back after the
    setting worker.drain; nothing is lost. The next start, run or wait of the project starts a background worker again; a command
    that only looks does not.
    """
    import contextlib
    import os
    import signal

    from perdure.cli import exits
    from perdure.cli.opening import open_project
    from perdure.cli.output import print_json
    from perdure.cli.shell import complain
    from perdure.cli.worker.state import is_here_and_alive
    from perdure.cli.worker.waiting import wait_until_gone
    from perdure.worker.identity import Identity

    with open_project() as opened:
        here = Identity.of_this_process()
        # Only worker processes: a worker that a program hosts ends with its program, and says by
        # `serves` that it executes what the program has declared.
        rows = [
            row
            for row in opened.store.workers()
            if row.is_background or (every and row.serves is None)
        ]
        with contextlib.suppress(OSError):  # a full disk keeps nobody from stopping
            opened.project.stop_mark(opened.settings.namespace).touch()
        seconds = opened.settings.worker.drain / 1_000_000 + 10 if timeout is None else timeout
    near = {row.pid: row for row in rows if is_here_and_alive(row, here)}
    far = [row for row in rows if row.host != here.host]
    for pid in near:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
    left = wait_until_gone(near.values(), seconds)
    stopped = [str(row.name) for pid, row in near.items() if pid not in left]
    if as_json:
        print_json({"stopped": stopped, "still_draining": sorted(left)})
    else:
        for name in stopped:
            click.echo(f"worker {name} has ended")
    if every and far:
        complain(f"{len(far)} workers live on other hosts: {', '.join(r.name for r in far)}")
    if left:
        pids = ", ".join(map(str, sorted(left)))
        complain(f"still at work after {seconds:g} s: pid {pids}; a second signal forces the end")
        return exits.TIMEOUT
    if not near and not as_json:
        click.echo("no worker to stop", err=True)
    return exits.OK
