"""Whether a worker lives, as seen from here."""

from __future__ import annotations

from perdure.store import WorkerRow
from perdure.worker.identity import Identity, is_proven_dead


def state_of(row: WorkerRow, here: Identity, now: int) -> str:
    """Tell "alive", "dead" (proven) or "silent" (its lease has ended, and nothing is proven).

    Args:
        row: The worker as it registered.
        here: Who asks.
        now: Store time.
    """
    if is_proven_dead(row, here):
        return "dead"
    return "alive" if row.lease_until >= now else "silent"
