"""Suspended runs that are kept in memory, so that going on with them needs no replay."""

from __future__ import annotations

from collections import OrderedDict

from perdure.core.run import Run
from perdure.engine.resident import Resident


class Warm:
    """The runs that were suspended here last; the coldest is closed when there are too many.

    Args:
        limit: How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._runs: OrderedDict[int, Resident] = OrderedDict()

    def keep(self, resident: Resident) -> None:
        """Keep a run that was just let go of."""
        resident.is_settled = False
        resident.events.clear()  # nothing of value: mail is in the store, timers are due again
        resident.seen.clear()
        self._runs[resident.tid] = resident
        while len(self._runs) > self._limit:
            _tid, coldest = self._runs.popitem(last=False)
            coldest.machine.close()

    def take(self, run: Run) -> Resident | None:
        """The run that was just claimed, if it is here as the store has it."""
        resident = self._runs.pop(run.tid, None)
        if resident is None:
            return None
        if resident.attempt != run.attempt - 1:  # somebody else had it in between
            resident.machine.close()
            return None
        resident.attempt = run.attempt
        resident.crashes = run.crashes
        return resident

    def close(self) -> None:
        """Let go of all."""
        for resident in self._runs.values():
            resident.machine.close()
        self._runs.clear()
