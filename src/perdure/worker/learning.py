"""Runs whose code a worker does not know: it imports the code, or the runs are blocked with the
reason; and runs that are stuck, which are tried again with other code."""

from __future__ import annotations

import logging

from perdure.core.run import Status
from perdure.engine.committer import Committer
from perdure.engine.host import Host
from perdure.project.watch import SourceWatch
from perdure.store import Claim, RunFilter, Store, Unclaimed, WorkerRow
from perdure.worker.repertoire import Repertoire, is_served_elsewhere

log = logging.getLogger("perdure.worker")

PARKED_LIMIT = 1_000
"""Of so many stuck runs the code is looked for when a worker begins."""


class Learning:
    """Learns code for a worker.

    Args:
        store: Where the runs are.
        host: The worker.
        committer: Runs the verbs of the store.
        repertoire: What the worker can execute.
        sources: What watches the files that were loaded, or None.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        committer: Committer,
        repertoire: Repertoire,
        sources: SourceWatch | None,
    ) -> None:
        self._store = store
        self._host = host
        self._committer = committer
        self._repertoire = repertoire
        self._sources = sources
        self._has_looked = False
        self._unparked: list[tuple[str, str]] | None = None

    async def look(self, what: Claim, workers: list[WorkerRow], now: int) -> bool:
        """Look at what is due and unknown here; returns whether there is something to claim now."""
        if not self._has_looked and self._repertoire.imports:
            await self._learn_parked()
        is_news = await self.unpark(now)
        blocked = not self._has_looked or self._repertoire.may_know_more()
        unknown = await self._committer.call(self._store.unclaimed, what, now, blocked=blocked)
        self._has_looked = True
        for missing in unknown:
            reason = await self._learn_one(missing)
            if reason is None:
                is_news = True
            elif self._repertoire.imports and not is_served_elsewhere(
                missing.name, self._host.namespace, self._host.worker_id, now, workers
            ):
                count = await self._committer.call(
                    self._store.block, missing, self._host.namespace, reason, now
                )
                if count:
                    log.error("%d runs of %s are blocked: %s", count, missing.name, reason)
                    self._store.poke()
        return is_news

    async def _learn_one(self, missing: Unclaimed) -> str | None:
        reason = await self._repertoire.learn(missing)
        if self._sources is not None:
            self._sources.remember()  # now: what is saved a moment later is a change
        return reason

    async def _learn_parked(self) -> None:
        """Import the code of stuck runs, so that they are tried again if it was mended."""
        where = RunFilter(
            namespace=self._host.namespace, statuses=[Status.STUCK], limit=PARKED_LIMIT
        )
        parked = await self._committer.call(self._store.runs, where)
        sources = {(run.kind, run.name, run.version, run.source) for run in parked if run.code}
        for kind, name, version, source in sorted(sources):
            missing = Unclaimed(tid=0, kind=kind, name=name, version=version, source=source)
            reason = await self._learn_one(missing)
            if reason is not None:
                log.error("stuck runs of %s stay so: %s", name, reason)

    async def unpark(self, now: int) -> bool:
        """Try stuck runs again with the code that is here, once for all that is declared; returns
        whether there are any."""
        names = self._repertoire.names()
        if names is self._unparked:
            return False
        self._unparked = names
        code = self._host.fingerprint()
        count = await self._committer.call(
            self._store.unpark, names, self._host.namespace, code, now
        )
        return count > 0
