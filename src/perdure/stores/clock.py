"""Store time where the database has no clock of its own: the host's, which never goes back here.

A wall clock that is set back would hold up timers and keep dead workers' leases alive. So within
a process time is where the wall clock stood at the start plus what the monotonic clock counted
since; only a wall clock that is ahead of that (the machine slept, or its clock was set right) is
followed.
"""

from __future__ import annotations

import time

JUMP = 1_000_000
"""A wall clock that is ahead by more than this (µs) is followed."""


class HostClock:
    """µs since the epoch, UTC, never less than what was answered before."""

    def __init__(self) -> None:
        self._offset = (time.time_ns() - time.monotonic_ns()) // 1000

    def __call__(self) -> int:
        now = time.monotonic_ns() // 1000 + self._offset
        ahead = time.time_ns() // 1000 - now
        if ahead > JUMP:
            self._offset = (time.time_ns() - time.monotonic_ns()) // 1000
            now += ahead
        return now


host_now = HostClock()
"""The clock of this process, one for all its stores."""
