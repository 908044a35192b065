"""Burying dead workers, so that their runs can go on here.

Two ways to know that a worker is dead. *Proof*: it lived on this host and its process is gone; the
kernel tells at once (`DeathWatch`). *Its lease*: it ended, and this process has itself watched it
stay ended for a whole lease by its own monotonic clock. The second condition is for clocks that
jump and hosts that slept: after either, every lease looks ended, and all holders live.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from perdure.store import WorkerRow
from perdure.worker.deathwatch import DeathWatch
from perdure.worker.pulse import ticks

log = logging.getLogger("perdure.worker")

Bury = Callable[[int, bool], Awaitable[int | None]]
"""(worker, proven) -> how many runs it held, or None: it was not buried."""


class Takeover:
    """Watches the other workers of a store.

    Args:
        bury: Buries one in the store.
        patience: How many seconds an ended lease is watched before it is believed.
    """

    def __init__(self, bury: Bury, *, patience: float) -> None:
        self.watch = DeathWatch()
        self._bury = bury
        self._patience = patience
        self._names: dict[int, str] = {}
        self._suspects: dict[int, tuple[int, float]] = {}

    def fileno(self) -> int:
        """Readable when a watched worker has died; then call `bury_proven`."""
        return self.watch.fileno()

    async def look(self, workers: Sequence[WorkerRow], me: int, now: int) -> int:
        """Look at all workers of the store; returns how many were buried."""
        others = {row.id: row for row in workers if row.id != me}
        for gone in self.watch.watched - others.keys():
            self.watch.forget(gone)
        for row in others.values():
            self._names[row.id] = row.name
            self.watch.watch(row)
        buried = await self.bury_proven()
        buried += await self._bury_lapsed(others, now)
        self._suspects = {i: s for i, s in self._suspects.items() if i in others}
        return buried

    async def bury_proven(self) -> int:
        """Bury those whose death is proven."""
        buried = 0
        for worker in self.watch.dead():
            buried += await self._take_over(worker, proven=True)
        return buried

    async def _bury_lapsed(self, others: dict[int, WorkerRow], now: int) -> int:
        buried = 0
        for row in others.values():
            if row.lease_until >= now:
                self._suspects.pop(row.id, None)
                continue
            lease, since = self._suspects.get(row.id, (0, 0.0))
            if lease != row.lease_until:
                self._suspects[row.id] = (row.lease_until, ticks())
            elif ticks() - since >= self._patience:
                buried += await self._take_over(row.id, proven=False)
        return buried

    async def _take_over(self, worker: int, *, proven: bool) -> int:
        held = await self._bury(worker, proven)
        if held is None:
            return 0
        why = "died" if proven else "let its lease end"
        name = self._names.pop(worker, str(worker))
        if held:
            runs = "1 run" if held == 1 else f"{held} runs"
            log.warning("worker %s %s; %s of it can go on", name, why, runs)
        else:
            log.info("worker %s %s", name, why)
        return 1

    def close(self) -> None:
        """Watch no more."""
        self.watch.close()
