"""`perdure worker stop`: ask workers to end in good order, or end them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option
from perdure.cli.parameters import DURATION

if TYPE_CHECKING:
    from perdure.cli.opening import Opened
    from perdure.store import WorkerRow
    from perdure.worker.identity import Identity


STARTING_SECONDS = 10.0
"""How long a worker that is just being started is waited for."""
COUNTED = 10_000
"""Unfinished runs are counted up to this many."""


@click.command(
    "stop",
    cls=Command,
    short_help="Stop the background worker, or all of this host.",
    examples="""
        perdure worker stop
        perdure worker stop --all --timeout 1m
        perdure worker stop --force --timeout 5s
    """,
    codes="124: a worker still works after the timeout; what it said tells how to end it.",
)
@click.option("--all", "every", is_flag=True, help="All workers of this namespace on this host.")
@click.option(
    "--timeout", type=DURATION, help="Wait at most so long; by default worker.drain and 10 s."
)
@click.option("--force", is_flag=True, help="Kill what still works after the timeout (SIGKILL).")
@json_option
def command(every: bool, timeout: float | None, force: bool, as_json: bool) -> int:
    """Stop the project's background worker, and wait until it is gone.

    With --all the workers that were started by hand on this host, too; a program that hosts a
    worker is left alone. A worker finishes the steps that run, or hands them back after the
    setting worker.drain; nothing is lost. The next start, run or wait of the project starts a
    background worker again; a command that only looks does not.

    A worker whose loop hangs cannot hear that. With --force it is killed after the timeout, as is
    one that only takes long: steps that ran are repeated by the next worker.
    """
    import contextlib

    from perdure.cli import exits
    from perdure.cli.opening import open_project
    from perdure.cli.output import print_json
    from perdure.cli.shell import complain
    from perdure.cli.worker.waiting import wait_until_gone
    from perdure.worker.identity import Identity, is_proven_alive
    from perdure.worker.silence import kill

    here = Identity.of_this_process()
    with open_project() as opened:
        with contextlib.suppress(OSError):  # a full disk keeps nobody from stopping
            opened.project.stop_mark(opened.settings.namespace).touch()
        rows = _workers(opened, every=every)
        seconds = opened.settings.worker.drain / 1_000_000 + 10 if timeout is None else timeout
        near = {row.pid: row for row in rows if is_proven_alive(row, here)}
        far = [row for row in rows if row.host != here.host]
        _ask(near)
        left = wait_until_gone(near.values(), seconds)
        killed = {pid for pid in left if force and kill(near[pid], here)}
        left -= killed
        unfinished = _unfinished(opened)
        is_served = _is_served(opened, here, without=set(near) - left)
    stopped = [str(row.name) for pid, row in near.items() if pid not in left | killed]
    if as_json:
        print_json(
            {
                "stopped": stopped,
                "killed": [near[pid].name for pid in sorted(killed)],
                "still_draining": sorted(left),
                "unfinished": unfinished,
            }
        )
    else:
        for name in stopped:
            click.echo(f"worker {name} has ended")
        for pid in sorted(killed):
            click.echo(f"worker {near[pid].name} was killed; what it ran is run again")
        if unfinished and near and not left and not is_served:
            click.echo(_who_goes_on(unfinished), err=True)
    if every and far:
        complain(f"{len(far)} workers live on other hosts: {', '.join(r.name for r in far)}")
    if left:
        complain(_still_at_work([near[pid] for pid in sorted(left)], seconds, every=every))
        return exits.TIMEOUT
    if not near and not as_json:
        click.echo("no worker to stop", err=True)
    return exits.OK


def _workers(opened: Opened, *, every: bool) -> list[WorkerRow]:
    """The workers to stop; one that is just being started is waited for until it is known.

    Only worker processes: a worker that a program hosts ends with its program, and says by `serves`
    that it executes what the program has declared.
    """
    import time

    from perdure.worker.leader import LeaderLock

    namespace = opened.settings.namespace
    lock = LeaderLock(opened.project.worker_lock(namespace))
    deadline = time.monotonic() + STARTING_SECONDS
    while True:
        holder = lock.holder()
        rows = [row for row in opened.store.workers() if row.namespace == namespace]
        known = {row.pid for row in rows if row.is_background}
        if holder is None or holder.get("pid") in known or time.monotonic() > deadline:
            return [row for row in rows if row.is_background or (every and row.serves is None)]
        time.sleep(0.02)  # whoever starts it has the lock already, or has handed it over


def _ask(workers: dict[int, WorkerRow]) -> None:
    import os
    import signal

    for pid in workers:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


def _unfinished(opened: Opened) -> int:
    """How many runs are left to go on with, up to `COUNTED`."""
    from perdure.core.decide import KEEPS_AWAKE
    from perdure.store import RunFilter

    where = RunFilter(
        namespace=opened.settings.namespace, statuses=sorted(KEEPS_AWAKE), limit=COUNTED
    )
    return len(opened.store.runs(where))


def _is_served(opened: Opened, here: Identity, *, without: set[int]) -> bool:
    """Whether somebody else goes on with whatever can be imported."""
    from perdure.cli.worker.state import state_of

    now = opened.store.now()
    return any(
        row.serves is None
        and row.namespace == opened.settings.namespace
        and not (row.host == here.host and row.pid in without)
        and state_of(row, here, now) == "alive"
        for row in opened.store.workers()
    )


def _who_goes_on(unfinished: int) -> str:
    some = f"{unfinished} or more" if unfinished == COUNTED else str(unfinished)
    runs = "1 unfinished run is" if unfinished == 1 else f"{some} unfinished runs are"
    return (
        f"{runs} left; the next `perdure run`, `perdure wait` or start() goes on with what is left,"
        " and so does `perdure worker run`"
    )


def _still_at_work(left: list[WorkerRow], seconds: float, *, every: bool) -> str:
    pids = ", ".join(str(row.pid) for row in left)
    again = "perdure worker stop --force" + (" --all" if every else "")
    return (
        f"still at work after {seconds:g} s: pid {pids}. It waits for its steps, or its loop hangs"
        f" and cannot hear; `{again} --timeout 0` kills it, and the next worker goes on with its runs"
    )
