"""Who waits in this process for runs that are in memory here, to be told how they ended."""

from __future__ import annotations

from collections.abc import Callable

from perdure.core.run import Status

Ending = tuple[Status, str | None, str | None]
"""(status, encoded output, encoded error) of a run that ended."""
Tell = Callable[[Ending | None], None]


class Waiters:
    """What is to be called when a run ends here (with its ending), or is let go of (with None)."""

    def __init__(self) -> None:
        self._of: dict[int, list[Tell]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def add(self, tid: int, tell: Tell) -> None:
        """Somebody waits for this run."""
        self._of.setdefault(tid, []).append(tell)

    def remove(self, tid: int, tell: Tell) -> None:
        """Somebody waits no more."""
        waiting = self._of.get(tid)
        if waiting is not None and tell in waiting:
            waiting.remove(tell)
            if not waiting:
                del self._of[tid]

    def ended(self, tid: int, ending: Ending) -> None:
        """The run ended here: whoever waited waits no more."""
        for tell in self._of.pop(tid, ()):
            tell(ending)

    def gone(self, tid: int) -> None:
        """The run may end elsewhere: look at the store. Whoever waits still does."""
        for tell in list(self._of.get(tid, ())):
            tell(None)

    def renamed(self, old: int, new: int) -> None:
        """The run has another TID now."""
        if old in self._of:
            self._of[new] = self._of.pop(old)
