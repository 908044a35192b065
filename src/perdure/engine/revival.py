"""From a run that was claimed to a run in memory: kept warm, begun, or replayed from its journal."""

from __future__ import annotations

import logging

from perdure.core.decide import Park
from perdure.core.errors import Unreplayable
from perdure.core.run import Run
from perdure.engine.committer import Committer
from perdure.engine.host import Host
from perdure.engine.resident import STARTED, Definition, Resident, definition_of
from perdure.engine.warm import Warm
from perdure.store import Store

logger = logging.getLogger("perdure.engine")


class Revival:
    """Makes residents of claimed runs.

    Args:
        store: Where their journals are.
        committer: Reads them.
        host: Knows the code.
        warm: What need not be replayed.
    """

    def __init__(self, store: Store, committer: Committer, host: Host, warm: Warm) -> None:
        self._store = store
        self._committer = committer
        self._host = host
        self._warm = warm

    async def revive(self, run: Run) -> Resident:
        """The run in memory, where its journal is; one that cannot go on has its `parking`."""
        warm = self._warm.take(run)
        if warm is not None:
            return warm
        definition = definition_of(run.name, run.version)
        resident = Resident(run, definition, attempt=run.attempt)
        reason = self._misfit(run, definition)
        if reason:
            resident.parking = Park(reason=reason, code=self._host.fingerprint())
            return resident
        is_new = run.attempt == 1  # nobody had it before, so nothing is recorded
        rows = [] if is_new else await self._committer.call(self._store.journal, run.tid)
        if not rows:
            resident.events.append((STARTED, 0))
            return resident
        try:
            resident.replay(rows)
        except Unreplayable as error:
            resident.parking = Park(reason=str(error), code=self._host.fingerprint())
        except Exception as error:
            logger.exception("the journal of run %d cannot be replayed", run.tid)
            reason = f"its journal cannot be replayed: {type(error).__name__}: {error}"
            resident.parking = Park(reason=reason, code=self._host.fingerprint())
        for text in resident.machine.drift:
            logger.warning("run %d %s(): %s", run.tid, run.name, text)
        return resident

    def replay_again(self, resident: Resident) -> None:
        """Testing: throw the live machine away and go on with one made from the journal."""
        resident.machine.close()
        resident.machine = resident.new_machine()
        kept = (resident.retries, resident.tries, resident.started, resident.children)
        resident.replay(self._store.journal(resident.tid))
        resident.retries, resident.tries, resident.started, resident.children = kept

    def _misfit(self, run: Run, definition: Definition) -> str:
        """Why the code under the run's name is not its code; "" if it is."""
        if definition.kind is not run.kind:
            return f"it is a {run.kind} run, but {run.name} is a {definition.kind} here"
        stranger = self._host.stranger(definition, run.source)
        if stranger:
            return (
                f"it is a run of {run.name}() of {stranger}, but {run.name}() here is another one, "
                f"of {definition.fn.__module__}; give one of them another name (name=…)"
            )
        return ""
