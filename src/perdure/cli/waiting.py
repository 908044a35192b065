"""Waiting for a run at a command line: until it is over, until the timeout, or until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perdure.cli import exits
from perdure.cli.records import with_reason
from perdure.cli.shell import complain
from perdure.core.run import Run, Status

if TYPE_CHECKING:
    from perdure.client.connection import Connection


PATIENCE = 5.0
"""Seconds after which a run that nobody has taken is worth a word."""


def wait_for(connection: Connection, tid: int, timeout: float | None) -> Run | int:
    """Wait until a run is finished, stuck or blocked.

    Args:
        connection: Where it is.
        tid: The run.
        timeout: Seconds; None: as long as it takes.

    Returns:
        The run; or an exit code, if the timeout or Ctrl-C was first, and this has been said.
    """
    from perdure.client.serving import Caretaker
    from perdure.client.waiting import wait_until_final

    store = connection.store
    run = store.get(tid)
    look_after = Caretaker(connection, run.name if run is not None else "").look
    patience = PATIENCE if timeout is None else min(PATIENCE, timeout)
    try:
        run = wait_until_final(store, None, tid, patience, look_after=look_after)
        if run is None and patience != timeout:
            _worry(connection, tid)
            rest = None if timeout is None else timeout - patience
            run = wait_until_final(store, None, tid, rest, look_after=look_after)
    except KeyboardInterrupt:
        click.echo(err=True)
        complain(f"run {tid} goes on; {_how_to_go_on(tid)}")
        return exits.INTERRUPTED
    if run is None:
        now = store.get(tid)
        state = now.status.value if now is not None else "gone"
        complain(
            f"run {tid} is still {state} after {timeout:g} s and goes on; {_how_to_go_on(tid)}"
        )
        return exits.TIMEOUT
    return with_reason(run, store)


def _worry(connection: Connection, tid: int) -> None:
    """Say so if nobody has taken the run although it is due."""
    store = connection.store
    run = store.get(tid)
    if run is None or run.status is not Status.QUEUED:
        return
    now = store.now()
    alive = [row.name for row in store.workers() if row.lease_until >= now]
    if alive:
        complain(f"run {tid} is still queued; {', '.join(alive)} may be busy, or lack its code")
    else:
        from perdure.worker.background import LOG_NAME

        log = connection.project.logs / LOG_NAME if connection.project is not None else None
        why = f"; what the last one said: {log}" if log is not None and log.exists() else ""
        complain(f"run {tid} is still queued and no worker is alive: perdure worker run{why}")


def _how_to_go_on(tid: int) -> str:
    return f"follow it: perdure events {tid} --follow; end it: perdure cancel {tid}"
