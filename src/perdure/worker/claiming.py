"""Which runs a worker takes: what is due, as far as there is room, and a deadly one by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure.core.decide import ALONE_AFTER_CRASHES
from perdure.core.run import Run
from perdure.engine.committer import Committer
from perdure.engine.engine import Engine
from perdure.engine.host import Host
from perdure.store import Claim, Store
from perdure.worker.repertoire import Repertoire

CLAIM_BATCH = 200
"""Runs per claim."""
STARVED_SECONDS = 10.0
"""A run that must run alone waits at most so long for others before they make room."""


class Claiming:
    """Takes runs for a worker.

    Args:
        store: Where they are.
        host: The worker.
        engine: Executes what is taken.
        committer: Runs the verbs of the store.
        repertoire: What the worker can execute.
        concurrency: How many runs it has at once.
        plan: Called with the time (µs, store time) at which to look again.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        engine: Engine,
        committer: Committer,
        repertoire: Repertoire,
        *,
        concurrency: int,
        plan: Callable[[int], None],
    ) -> None:
        self.is_full = False
        self.took_at = 0.0
        self._store = store
        self._host = host
        self._engine = engine
        self._committer = committer
        self._repertoire = repertoire
        self._concurrency = concurrency
        self._plan = plan
        self._alone_since: float | None = None

    def what(self, limit: int, *, alone: bool = False) -> Claim:
        """Which runs the worker can take."""
        return Claim(
            worker=self._host.worker_id,
            names=self._repertoire.names(),
            limit=limit,
            namespace=self._host.namespace,
            queues=(self._host.queue,),
            alone=alone,
        )

    async def claim(self) -> bool:
        """Take what is due, as far as there is room, and plan when to look again.

        Returns:
            Whether there may be more to take.
        """
        if await self._claim_alone():
            return False
        room = self._concurrency - len(self._engine.residents)
        self.is_full = room <= 0
        if self.is_full:
            return False  # `run_left` wakes
        what = self.what(min(room, CLAIM_BATCH))
        if not await self._is_due(what):
            return False
        await self._take(what)
        return True

    async def _take(self, what: Claim) -> list[Run]:
        runs = await self._committer.call(self._store.claim, what, self._store.now())
        if runs:
            self.took_at = _time()
            await self._engine.adopt(runs)
        return runs

    async def _claim_alone(self) -> bool:
        """Take a run that killed its workers, when nothing else is here to die with it; True: one
        is here, or others must make room for one now."""
        if self.has_lone_run():
            return True
        what = self.what(1, alone=True)
        if not await self._is_due(what):
            self._alone_since = None
            return False
        if self._engine.residents:
            if self._alone_since is None:
                self._alone_since = _time()
            # By turns: for a while nothing is claimed, so that this worker runs empty; if something
            # takes longer, the others are claimed again for a while.
            waited = _time() - self._alone_since
            return int(waited // STARVED_SECONDS) % 2 == 1
        self._alone_since = None
        return bool(await self._take(what))

    def has_lone_run(self) -> bool:
        """Whether a run is here whose workers died: it is left alone."""
        residents = self._engine.residents
        if len(residents) != 1:
            return False
        return next(iter(residents.values())).crashes >= ALONE_AFTER_CRASHES

    async def _is_due(self, what: Claim) -> bool:
        """Whether there is something to claim now; if only later, that is planned. A look is
        cheaper than a claim: it takes no lock."""
        due = await self._committer.call(self._store.due, what)
        if due is None:
            return False
        if due > self._store.now():
            self._plan(due)
            return False
        return True


def _time() -> float:
    return asyncio.get_running_loop().time()
