"""Waiting for a run at a command line: until it is over, until the timeout, or until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perdure.cli import exits
from perdure.cli.shell import complain
from perdure.core.run import Run

if TYPE_CHECKING:
    from perdure.store import Store


def wait_for(store: Store, tid: int, timeout: float | None) -> Run | int:
    """Wait until a run is finished, stuck or blocked.

    Args:
        store: Where it is.
        tid: The run.
        timeout: Seconds; None: as long as it takes.

    Returns:
        The run; or an exit code, if the timeout or Ctrl-C was first, and this has been said.
    """
    from perdure.client.waiting import wait_until_final

    try:
        run = wait_until_final(store, None, tid, timeout)
    except KeyboardInterrupt:
        click.echo(err=True)
        complain(f"run {tid} goes on; {_how_to_go_on(tid)}")
        return exits.INTERRUPTED
    if run is None:
        now = store.get(tid)
        state = now.status.value if now is not None else "gone"
        complain(f"run {tid} is still {state} after {timeout:g} s and goes on; {_how_to_go_on(tid)}")
        return exits.TIMEOUT
    return run


def _how_to_go_on(tid: int) -> str:
    return f"follow it: perdure events {tid} --follow; end it: perdure cancel {tid}"
