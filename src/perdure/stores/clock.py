"""Store time where the database has no clock of its own: the host's, with its mistakes taken out.

A wall clock that is set back would hold up timers and keep dead workers' leases alive. So within
a process time is where the wall clock stood at the start plus what has passed since: a line that
only goes up. A wall clock that is ahead of the line is followed, since it was set right (or the
host stood still unnoticed); when it comes back, it was a mistake, and that much is taken back. So
time goes back only where it was ahead of itself, and never behind the line.
"""

from __future__ import annotations

import threading
import time

JUMP = 1_000_000
"""A wall clock that differs by more than this (µs) was set."""

if hasattr(time, "CLOCK_BOOTTIME"):

    def _uptime_ns() -> int:
        """What passes, also while the host is asleep."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

else:
    _uptime_ns = time.monotonic_ns


class HostClock:
    """µs since the epoch, UTC."""

    def __init__(self) -> None:
        self._offset = time.time_ns() // 1000 - _uptime_ns() // 1000
        self._ahead = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        now = _uptime_ns() // 1000 + self._offset
        gap = time.time_ns() // 1000 - now
        if gap > JUMP or (gap < -JUMP and self._ahead):
            return self._follow()
        return now

    def _follow(self) -> int:
        with self._lock:
            uptime = _uptime_ns() // 1000
            gap = time.time_ns() // 1000 - uptime - self._offset
            if abs(gap) > JUMP:  # else another thread was faster
                step = max(gap, -self._ahead)
                self._offset += step
                self._ahead += step
            return uptime + self._offset


host_now = HostClock()
"""The clock of this process, one for all its stores."""
