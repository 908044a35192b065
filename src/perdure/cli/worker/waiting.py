"""Waiting until processes that are not our children have ended."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable

from perdure.store import WorkerRow
from perdure.worker.identity import Identity, is_proven_dead


def wait_until_gone(rows: Iterable[WorkerRow], seconds: float) -> set[int]:
    """Wait until these workers of this host have ended.

    Args:
        rows: The workers.
        seconds: At most so long.

    Returns:
        The pids of those that have not.
    """
    here = Identity.of_this_process()
    left = {row.pid: row for row in rows}
    deadline = time.monotonic() + seconds
    while True:
        left = {pid: row for pid, row in left.items() if not is_proven_dead(row, here)}
        remaining = deadline - time.monotonic()
        if not left or remaining <= 0:
            return set(left)
        _wait_for_one(next(iter(left)), min(remaining, 1.0))


def _wait_for_one(pid: int, seconds: float) -> None:
    """Wait until a process ends, at most so long; where pidfds are missing, a moment."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        time.sleep(min(seconds, 0.05))
        return
    try:
        select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)
