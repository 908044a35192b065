"""Batches of turns on their way to the store, one at a time, and what to do when it says no.

A batch is kept until the store has answered it. What it cannot take now is sent again, told that it
may be there already; what it will never take is parked alone, so that one run that cannot be
written down does not stop the others.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from perdure.core.decide import Park, Turn, Verdict
from perdure.core.errors import LostLease, StoreUnavailable, TidTaken
from perdure.core.run import NewRun
from perdure.engine.committer import Committer
from perdure.engine.resident import Resident
from perdure.store import Store

logger = logging.getLogger("perdure.engine")

FIRST_PAUSE, LAST_PAUSE = 0.05, 5.0
"""Seconds between tries of a commit that the store cannot take now: from, doubling, to."""

Batch = list[tuple[Resident, Turn]]


class Outbox:
    """Sends batches and hands over what was committed.

    Args:
        settle: Called with a batch and its verdicts, as soon as it is durable.
        rename: Called with a resident, its turn and a TID that is taken: the same with another TID.
        give_up: Called with a resident that cannot even be parked.
        lost: Called when the worker turns out to be buried; the batch is dropped.
    """

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        committer: Committer,
        *,
        settle: Callable[[Batch, list[Verdict]], None],
        rename: Callable[[Resident, Turn, int], tuple[Resident, Turn]],
        give_up: Callable[[Resident], None],
        lost: Callable[[], None],
    ) -> None:
        self._store = store
        self._loop = loop
        self._committer = committer
        self._settle = settle
        self._rename = rename
        self._give_up = give_up
        self._lost = lost
        self._waiting: deque[Batch] = deque()
        self._current: Batch | None = None
        self._pause = FIRST_PAUSE

    @property
    def is_busy(self) -> bool:
        """Whether a batch is on its way (or waits to be sent again)."""
        return self._current is not None

    def send(self, batch: Batch, now: int) -> None:
        """Send a batch that was made at this time (µs); only while not `is_busy`."""
        self._current = batch
        self._try(batch, now)

    def commit(self, resident: Resident, turn: Turn, now: int) -> bool:
        """Commit a turn here and now, if that can be; True: it is committed, and that is all.

        False: `settle` is told of it, as after `send`.
        """
        committer = self._committer
        if not committer.is_inline or resident.birth is not None:
            self.send([(resident, turn)], now)
            return False
        verdicts, error = committer.run(1, self._store.turn, [turn], (), now)
        if verdicts is not None and verdicts[0] is Verdict.COMMITTED:
            return True
        batch = [(resident, turn)]
        self._current = batch
        self._answered(batch, verdicts, error)
        return False

    def drop(self) -> None:
        """Forget what is on its way: nobody here may write it any more."""
        self._current = None
        self._waiting.clear()

    def _try(self, batch: Batch, now: int) -> None:
        if self._current is not batch:
            return  # dropped meanwhile
        committer = self._committer
        if len(batch) == 1:  # as for many, and in half the time
            resident, turn = batch[0]
            turns = [turn]
            births: list[NewRun] = [] if resident.birth is None else [resident.birth]
        else:
            turns = [turn for _resident, turn in batch]
            births = [r.birth for r, _turn in batch if r.birth is not None]
        if committer.is_inline:
            verdicts, error = committer.run(len(batch), self._store.turn, turns, births, now)
            self._answered(batch, verdicts, error)
        else:
            verb = partial(self._store.turn, turns, births, now)
            committer.submit(verb, partial(self._answered, batch), weight=len(batch))

    def _try_again(self, batch: Batch) -> None:
        self._try(batch, self._store.now())

    def _answered(
        self, batch: Batch, verdicts: list[Verdict] | None, error: BaseException | None
    ) -> None:
        if self._current is not batch:
            return
        if error is not None or verdicts is None:
            self._refused(batch, error)
            return
        self._pause = FIRST_PAUSE
        self._current = None
        self._settle(batch, verdicts)
        if self._waiting and self._current is None:
            self.send(self._waiting.popleft(), self._store.now())

    def _refused(self, batch: Batch, error: BaseException | None) -> None:
        if isinstance(error, StoreUnavailable):
            level = logging.WARNING if self._pause < 1 else logging.ERROR
            logger.log(level, "cannot commit, trying again in %.2g s: %s", self._pause, error)
            again = [(r, msgspec.structs.replace(turn, repeated=True)) for r, turn in batch]
            self._current = again
            self._loop.call_later(self._pause, self._try_again, again)
            self._pause = min(self._pause * 2, LAST_PAUSE)
        elif isinstance(error, TidTaken):
            renamed = [self._rename(r, turn, error.tid) for r, turn in batch]
            self.send(renamed, self._store.now())
        elif isinstance(error, LostLease):
            self.drop()
            self._lost()
        elif len(batch) > 1:
            logger.error("a commit of %d turns failed, trying one by one: %s", len(batch), error)
            self._waiting.extendleft([item] for item in reversed(batch))
            self.send(self._waiting.popleft(), self._store.now())
        else:
            self._park(*batch[0], error)

    def _park(self, resident: Resident, turn: Turn, error: BaseException | None) -> None:
        logger.error("run %d cannot be recorded: %s", resident.tid, error, exc_info=error)
        if isinstance(turn.then, Park):
            self._current = None
            self._give_up(resident)
            if self._waiting:
                self.send(self._waiting.popleft(), self._store.now())
            return
        reason = f"its turn could not be recorded: {type(error).__name__}: {error}"
        resident.parking = Park(reason=reason, code="")
        parked = Turn(tid=turn.tid, attempt=turn.attempt, then=resident.parking)
        self.send([(resident, parked)], self._store.now())


def renamed(run: NewRun, tid: int) -> NewRun:
    """The same run under another TID."""
    return dataclasses.replace(run, tid=tid)
