"""Seeing to it that somebody executes what this process has started, waits for, or leaves behind.

A process that hosts executes its own runs. Any other needs a worker: when it starts a run, and for
as long as it waits for one, since the worker that had taken it may die (killed, or by a step that
ends its process) with nobody else there to notice. What a host leaves unfinished when it closes, and
what a reboot has left, needs one as well.

Each verb starts the project's background worker unless:

    ensure_served     who starts or waits: somebody alive serves this one name
    ensure_continued  a host that closes: nothing is left that goes on by itself, or the living
                      serve all of it; the store is no SQLite file, or not the project's own
    ensure_resumed    a command that looks: the same, or a person has stopped the worker

None does where `worker.autostart` is off, or the store is in memory.

Commands that only look import this, so it is light until there is something to start.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perdure.core.errors import PerdureError
from perdure.store import Claim

if TYPE_CHECKING:
    from perdure.client.connection import Connection
    from perdure.project.folder import Project
    from perdure.project.settings import Settings
    from perdure.store import Store, WorkerRow

FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
"""Seconds between two looks for a worker: from, growing each time that one had to be started, to."""
GROWTH = 1.5

EVER = 1 << 62
"""A time (µs) that every deadline precedes."""


def ensure_served(connection: Connection, name: str) -> bool:
    """Start the project's background worker unless somebody alive executes runs of this name.

    Returns:
        Whether one was started.
    """
    project = connection.project
    if project is None or not may_start_worker(connection.settings):
        return False
    namespace = connection.settings.namespace
    rows = [row for row in connection.store.workers() if row.namespace == namespace]
    living = _living(rows, connection.store.now())
    if any(row.serves is None or name in row.serves for row in living):
        return False
    return _start(project, namespace)


def ensure_continued(project: Project, settings: Settings, store: Store) -> bool:
    """Start the project's background worker if runs are left that nobody alive goes on with.

    For a host that closes. Only for a database of the project's own: a fleet has its workers.

    Returns:
        Whether one was started.
    """
    if not may_start_worker(settings) or not settings.store.startswith("sqlite:"):
        return False
    try:
        if not _is_abandoned(store, settings.namespace) or not _is_own(project, settings):
            return False
        return _start(project, settings.namespace)
    except (PerdureError, OSError) as error:
        # Whoever closes a host may have an error of its own, which says more.
        import logging

        log = logging.getLogger("perdure.client")
        log.warning("what is left unfinished waits for the next command: %s", error)
        return False


def ensure_resumed(project: Project, settings: Settings, store: Store) -> bool:
    """The same for a command that only looks: a worker that a person has stopped stays stopped."""
    if project.stop_mark(settings.namespace).exists():
        return False
    return ensure_continued(project, settings, store)


def may_start_worker(settings: Settings) -> bool:
    """Whether a background worker could do anything for runs of this store, and is wanted."""
    return settings.worker.autostart and not settings.store.startswith("memory:")


def _is_own(project: Project, settings: Settings) -> bool:
    """Whether a worker of the project would work on this store, and not on another one because the
    store was named by the call."""
    from perdure.project.settings import load

    return load(project).store == settings.store


def say_what_goes_on(connection: Connection, tid: int) -> None:
    """Tell somebody who interrupts a program that waits what becomes of the run."""
    run = None if connection.is_memory else connection.store.get(tid)
    if run is None or run.status.is_final:
        return
    if not run.source:
        fate = (
            "is kept; no other process can import its code, so it goes on when this code opens "
            "Perdure again"
        )
    elif (
        connection.project is not None
        and may_start_worker(connection.settings)
        and _is_own(connection.project, connection.settings)
    ):
        fate = f"goes on in the background; wait for it: perdure wait {tid}"
    else:
        fate = f"goes on with the next worker; wait for it: perdure wait {tid}"
    sys.stderr.write(f"perdure: run {tid} of {run.name} {fate}; end it: perdure cancel {tid}\n")


def _start(project: Project, namespace: str) -> bool:
    from perdure.worker.background import ensure_background_worker

    project.stop_mark(namespace).unlink(missing_ok=True)
    return ensure_background_worker(project, namespace=namespace)


def _is_abandoned(store: Store, namespace: str) -> bool:
    """Whether there are runs that go on by themselves, but for the worker that would execute them.

    Blocked and stuck runs wait for a person. Runs whose code no other process can import wait for
    the program that has it; a worker would only block them.
    """
    rows = [row for row in store.workers() if row.namespace == namespace]
    now = store.now()
    if any(row.serves is None for row in _living(rows, now)):
        return False  # before the runs are looked at: there may be many
    anything = Claim(worker=0, names=(), limit=1, namespace=namespace)
    left = {run.name for run in store.unclaimed(anything, EVER, importable=True)}
    holders = [row for row in rows if store.held(row.id)]
    if not left and not holders:
        return False
    living = _living(rows, now)
    if any(row not in living for row in holders):
        return True
    return not left <= {name for row in living for name in row.serves or ()}


def _living(rows: Sequence[WorkerRow], now: int) -> list[WorkerRow]:
    believed = [row for row in rows if row.lease_until >= now]
    if not believed:
        return []
    from perdure.worker.identity import Identity, is_proven_dead

    here = Identity.of_this_process()
    return [row for row in believed if not is_proven_dead(row, here)]


class Caretaker:
    """Looks after one run while somebody waits for it.

    Args:
        connection: Where the run is.
        name: The name of its workflow or function.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        from perdure.worker.silence import Silence

        settings = connection.settings
        self._silence = Silence(settings.namespace, patience=settings.worker.lease / 1_000_000)
        self._pause = FIRST_PAUSE
        self._next = time.monotonic() + self._pause

    def look(self) -> None:
        """See to it that a worker is there, and hears; cheap, and does nothing if called too often."""
        if time.monotonic() < self._next:
            return
        self._silence.look(self._connection.store)
        if ensure_served(self._connection, self._name):
            # One that dies at once again and again shall not keep the machine busy.
            self._pause = min(self._pause * GROWTH, LAST_PAUSE)
        self._next = time.monotonic() + self._pause
