"""Workers that live and are silent: ended from outside, by whoever has proven who they are.

A worker process whose loop hangs ends itself (see `process`). What is left is what no thread of it
can end: C code that keeps the interpreter to itself, a process that was stopped. The background
worker among them keeps the lock of its project, so that no other one starts. Whoever waits for a
run has the time to watch it; it is first buried in the store, which refuses if it was heard of
meanwhile, and from then on nothing that it writes counts: only then it is killed.
"""

from __future__ import annotations

import logging
import os
import select
import signal

from perdure.core.errors import StoreError
from perdure.store import Store, WorkerRow
from perdure.worker.identity import Identity, is_proven_alive
from perdure.worker.pulse import ticks

log = logging.getLogger("perdure.worker")

DYING_SECONDS = 1.0
"""How long the kernel is given to take a killed process away."""


def kill(row: WorkerRow, here: Identity) -> bool:
    """Kill the process of a worker of this host (SIGKILL), if it is proven to be that one.

    Returns:
        Whether it was killed: not if it has ended, and not if its identity cannot be proven.
    """
    try:
        pidfd = os.pidfd_open(row.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # no pidfds here
        pidfd = None
    try:
        # What is proven after the opening holds for what was opened: a pid may be used again.
        if not is_proven_alive(row, here):
            return False
        if pidfd is None:
            os.kill(row.pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            end = select.poll()  # select() knows no descriptor above 1023
            end.register(pidfd, select.POLLIN)
            end.poll(DYING_SECONDS * 1000)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if pidfd is not None:
            os.close(pidfd)
    return True


class Silence:
    """Watches the background workers of a namespace, and ends one that is silent for too long.

    Args:
        namespace: Whose workers.
        patience: How many seconds an ended lease is watched before it is believed.
    """

    def __init__(self, namespace: str, *, patience: float) -> None:
        self._namespace = namespace
        self._patience = patience
        self._here = Identity.of_this_process()
        self._since: dict[int, tuple[int, float]] = {}

    def look(self, store: Store) -> None:
        """Look at all workers of a store; to be called now and then."""
        workers = store.workers()
        now = store.now()
        silent = [row for row in workers if self._is_silent(row, now)]
        known, self._since = self._since, {}
        for row in silent:
            lease, since = known.get(row.id, (0, 0.0))
            if lease != row.lease_until:
                self._since[row.id] = (row.lease_until, ticks())
            elif ticks() - since < self._patience:
                self._since[row.id] = (lease, since)
            else:
                self._end(store, row)

    def _is_silent(self, row: WorkerRow, now: int) -> bool:
        return (
            row.is_background
            and row.namespace == self._namespace
            and row.lease_until < now
            and is_proven_alive(row, self._here)
        )

    def _end(self, store: Store, row: WorkerRow) -> None:
        try:
            held = store.bury(row.id, store.now(), proven=False)
        except StoreError as error:
            # Who waits for a run goes on waiting. What we could not write to, the worker could not
            # renew its lease in either: perhaps it is silent for that, so it is watched afresh.
            self._since[row.id] = (row.lease_until, ticks())
            log.warning(
                "the background worker %s is silent and could not be buried; it is watched for"
                " another %g s: %s",
                row.name,
                self._patience,
                error,
            )
            return
        if held is None:
            return
        if kill(row, self._here):
            log.warning(
                "the background worker %s was silent for two leases and kept others from taking"
                " its place; it was killed, and its runs go on with the next one",
                row.name,
            )
