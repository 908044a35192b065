"""The heartbeat of a worker's loop, by which its threads tell whether it still turns."""

from __future__ import annotations

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def ticks() -> float:
        """Seconds that only go forward, also while the process is stopped or the host asleep."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    ticks = time.monotonic


class Pulse:
    """When the loop last showed that it turns; written by the loop, read by its watchers."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = ticks()

    def beat(self) -> None:
        """Say that the loop turns; called by the loop at least once a second (0.1 us)."""
        self.last = ticks()
