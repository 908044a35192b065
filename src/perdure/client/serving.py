"""Seeing to it that somebody executes what this process has started, or waits for.

A process that hosts executes its own runs. Any other needs a worker: when it starts a run, and for
as long as it waits for one, since the worker that had taken it may die (killed, or by a step that
ends its process) with nobody else there to notice.
"""

from __future__ import annotations

import time

from perdure.client.connection import Connection
from perdure.worker.background import ensure_background_worker
from perdure.worker.identity import Identity, is_proven_dead
from perdure.worker.silence import Silence

FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
"""Seconds between two looks for a worker: from, growing each time that one had to be started, to."""
GROWTH = 1.5


def ensure_served(connection: Connection, name: str) -> bool:
    """Start the project's background worker unless somebody alive executes runs of this name.

    Returns:
        Whether one was started.
    """
    if connection.project is None or connection.is_memory:
        return False
    here = Identity.of_this_process()
    now = connection.store.now()
    for row in connection.store.workers():
        if row.namespace != connection.settings.namespace:
            continue
        serves = row.serves is None or name in row.serves
        if serves and row.lease_until >= now and not is_proven_dead(row, here):
            return False
    return ensure_background_worker(connection.project, namespace=connection.settings.namespace)


class Caretaker:
    """Looks after one run while somebody waits for it.

    Args:
        connection: Where the run is.
        name: The name of its workflow or function.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
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
