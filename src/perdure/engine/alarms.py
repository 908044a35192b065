"""The timers of the runs that this worker holds: a heap, and one handle on the loop.

Deadlines are store time. The loop's own clock is only used to wait; when it rings, store time is
asked again, so that nothing fires early, whatever the two clocks do.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

MAX_WAIT_SECONDS = 3600.0
"""Longer waits are made of several, so that a clock that is set is noticed."""


class Alarms:
    """Calls `ring(tid, attempt, ordinal)` when store time has reached a deadline; never early.

    Args:
        loop: Where to wait.
        now: Store time in µs.
        ring: What to call. An alarm that is no longer wanted still rings: the callee looks.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], int],
        ring: Callable[[int, int, int], None],
    ) -> None:
        self._loop = loop
        self._now = now
        self._ring = ring
        self._heap: list[tuple[int, int, int, int]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._handle_due = 0

    def set(self, due: int, tid: int, attempt: int, ordinal: int) -> None:
        """Ring for this call of this run at `due` (µs, store time)."""
        heapq.heappush(self._heap, (due, tid, attempt, ordinal))
        if self._handle is None or due < self._handle_due:
            self._arm()

    def close(self) -> None:
        """Ring no more."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._heap:
            self._handle_due = self._heap[0][0]
            seconds = (self._handle_due - self._now()) / 1_000_000
            self._handle = self._loop.call_later(
                min(max(seconds, 0.0), MAX_WAIT_SECONDS), self._wake
            )

    def _wake(self) -> None:
        self._handle = None
        now = self._now()
        while self._heap and self._heap[0][0] <= now:
            _due, tid, attempt, ordinal = heapq.heappop(self._heap)
            self._ring(tid, attempt, ordinal)
        self._arm()
