"""The engine: what keeps runs going in one worker.

How a run moves:

1. Something happens to it: it is born here, claimed, a step lands, a timer is due, mail comes in.
   That is an `Event`, queued on its `Resident`, and the run is *ready*.
2. `_pump` lets every ready run take a turn (`turns.take_turn`) and sends all these turns to the
   store as one batch: group commit. One batch is on its way at a time (`Outbox`), so that whatever
   happens meanwhile shares the next commit.
3. When the batch is durable, and not before, its effects are done (`_settle`): steps are launched
   or stopped (`Launcher`), timers set, runs let go of, those who wait for an ending told.

Nothing is lost when the process dies: what was not committed did not happen; what was committed but
not done is found again by whoever replays the journal.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging
import sys
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from perdure.core.decide import Finish, HandBack, Park, Suspend, Turn, Verdict
from perdure.core.errors import LostLease, StoreUnavailable
from perdure.core.events import Cancel, Child, Command, Event, EventKind, Step, Timer
from perdure.core.run import Kind, NewRun, Run
from perdure.engine.alarms import Alarms
from perdure.engine.committer import Committer
from perdure.engine.host import Host
from perdure.engine.intake import Intake, Newcomer
from perdure.engine.launcher import Launcher
from perdure.engine.outbox import Batch, Outbox, renamed
from perdure.engine.resident import STARTED, Definition, Resident, definition_of, workflow_of
from perdure.engine.revival import Revival
from perdure.engine.threads import Threads
from perdure.engine.turns import take_turn
from perdure.engine.waiters import Tell, Waiters
from perdure.engine.warm import Warm
from perdure.store import Store

logger = logging.getLogger("perdure.engine")

_NESTS = sys.version_info < (3, 14)
"""Whether another loop's callbacks may run inside a task: a body's activation inside a step's."""

MAX_BATCH = 500
"""Turns per commit; the loop gets a breath in between."""


class Engine:
    """Keeps the runs of one worker going, on one loop.

    Args:
        store: Where everything is recorded.
        host: The worker around it.
        loop: The loop on which everything happens.
        committer: Runs the verbs of the store.
        threads: How many plain functions may run at once.
        cached_runs: How many suspended runs are kept warm.
        always_replay: Testing: every turn starts from the journal, and nothing is kept warm.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        committer: Committer,
        *,
        threads: int = 32,
        cached_runs: int = 10_000,
        always_replay: bool = False,
    ) -> None:
        self.residents: dict[int, Resident] = {}
        self.is_draining = False
        self._is_hurried = False
        self.threads = Threads(threads)
        self._store = store
        self._host = host
        self._loop = loop
        self._committer = committer
        self._launcher = Launcher(self, loop, self.threads, host.may_start)
        self._alarms = Alarms(loop, store.now, self._rang)
        self._outbox = Outbox(
            store,
            loop,
            committer,
            settle=self._settle,
            rename=self._rename,
            give_up=self._forget,
            lost=host.lost,
        )
        self._intake = Intake(
            store, loop, committer, new_tid=host.new_tid, stored=self._newcomers_stored
        )
        self._warm = Warm(0 if always_replay else cached_runs)
        self._revival = Revival(store, committer, host, self._warm)
        self._always_replay = always_replay
        self._ready: dict[int, Resident] = {}
        self._is_pump_due = False
        self._is_in_pump = False
        self._variables = contextvars.copy_context()
        self._waiters = Waiters()
        self._quiet = asyncio.Event()
        self._errands: set[asyncio.Task[None]] = set()
        self._active: Resident | None = None
        self._is_closed = False

    # --- what the launcher asks -------------------------------------------------------------------

    def now(self) -> int:
        return self._store.now()

    def post(self, resident: Resident, event: Event) -> None:
        """Queue an event of a run. Its turn comes in the next iteration of the loop, so that
        whatever else happens in this one shares its commit."""
        if self.residents.get(resident.tid) is resident:
            resident.events.append((event, 0))
            self._make_ready(resident)

    def go_on(self, resident: Resident, event: Event) -> None:
        """Queue an event, and take the turn here and now if nothing else of this worker runs: a run
        whose steps follow one another has nobody to share its commits with."""
        if self._launcher.in_flight or self._ready or self._is_in_pump or not _NESTS:
            self.post(resident, event)
        elif self.residents.get(resident.tid) is resident:
            resident.events.append((event, 0))
            self._variables.run(self._pump_one, resident)

    def write_progress(self, latest: dict[int, str]) -> None:
        worker = self._host.worker_id
        self._committer.submit(
            lambda: self._store.progress(worker, latest), lambda _result, _error: None
        )

    # --- what comes in ----------------------------------------------------------------------------

    def begin(self, run: NewRun, definition: Definition, *, is_stored: bool) -> Resident:
        """Take up a run that is born here, held by this worker under attempt 1."""
        known = self.residents.get(run.tid)
        if known is not None:
            return known  # stored, and found by the net before its starter came round
        resident = Resident(run, definition, attempt=1)
        self._begin(resident, None if is_stored else run)
        return resident

    def queue(self, run: NewRun) -> Newcomer:
        """Store a run that is started here for whoever has room, together with others."""
        return self._intake.add(run)

    def _newcomers_stored(self) -> None:
        self._host.claimable(None)
        self._store.poke()

    def _begin(self, resident: Resident, birth: NewRun | None) -> None:
        resident.birth = birth
        resident.is_settled = True
        resident.events.append((STARTED, 0))
        self.residents[resident.tid] = resident
        self._make_ready(resident)

    async def adopt(self, runs: Sequence[Run]) -> None:
        """Take up runs that this worker has just claimed."""
        adopted = [await self._revival.revive(run) for run in runs]
        for resident in adopted:
            self.residents[resident.tid] = resident
        try:
            await self.look_for_mail()
        except StoreUnavailable as error:
            logger.warning("the inboxes of claimed runs cannot be read now, later: %s", error)
        now = self._store.now()
        for resident in adopted:
            if self.residents.get(resident.tid) is not resident:
                continue
            if resident.is_committing or resident.is_settled:
                continue  # mail came in while others' was read, and its turn is under way
            if resident.parking is None:
                resident.queue_overdue(now)
                if not resident.events:
                    self._resume(resident)
            self._make_ready(resident)

    async def look_for_mail(self, tids: Iterable[int] | None = None) -> None:
        """Queue what lies in the inboxes of the runs that are held here (None: of all)."""
        if tids is None:
            tids = await self._committer.call(self._store.mail, self._host.worker_id)
        for tid in tids:
            resident = self.residents.get(tid)
            if resident is None or resident.birth is not None:
                continue
            for mail in await self._committer.call(self._store.inbox, tid):
                if mail.id in resident.seen or self.residents.get(tid) is not resident:
                    continue
                resident.seen.add(mail.id)
                event = Event(kind=mail.kind, ordinal=mail.ordinal, value=mail.value)
                resident.events.append((event, mail.id))
                self._make_ready(resident)

    def when_ended(self, tid: int, tell: Tell) -> None:
        """Call `tell` on the loop with how this run ended, if it ends here; with None whenever it
        is let go of, so that it may end elsewhere, or is not here: then look at the store."""
        self._waiters.add(tid, tell)
        if tid not in self.residents:
            tell(None)

    def forget_waiter(self, tid: int, tell: Tell) -> None:
        """Nobody waits any more: the counterpart of `when_ended`."""
        self._waiters.remove(tid, tell)

    def ensure_stored(self, resident: Resident | Newcomer) -> None:
        """See to it that a run born here is durable before this returns; may block for a commit.

        For callers on the loop: the handle of a run tells nobody its TID before.

        Raises:
            StoreUnavailable: It could not be stored now; the engine keeps trying.
        """
        if isinstance(resident, Newcomer):
            self._intake.ensure_stored(resident)
            return
        birth = resident.birth
        if birth is None:
            return
        if not self._outbox.is_busy and not self._committer.is_threaded:
            self._pump()
            if resident.birth is None:
                return
        if resident.is_committing:
            self._committer.run_now(lambda: None)  # its turn is before us in the line
            if self._store.get(resident.tid) is not None:
                return
        try:
            self._committer.run_now(lambda: self._store.submit([birth]))
        except LostLease:
            # This worker was buried and does not know it yet: the run is for whoever claims it.
            orphan = dataclasses.replace(birth, worker=None)
            self._committer.run_now(lambda: self._store.submit([orphan]))
            resident.birth = None
            self._forget(resident)
            if birth.worker == self._host.worker_id:
                self._host.lost()
            return
        if not resident.is_committing:
            resident.birth = None

    # --- the pump ---------------------------------------------------------------------------------

    def _make_ready(self, resident: Resident) -> None:
        self._ready[resident.tid] = resident
        if not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._on_pump_due)

    def _on_pump_due(self) -> None:
        self._is_pump_due = False
        self._pump()

    def _arm_pump(self) -> None:
        if self._ready and not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._on_pump_due)

    def _pump(self) -> None:
        """Let all ready runs take their turns, and send them as one batch."""
        if self._outbox.is_busy or self._is_closed or self._is_in_pump:
            return  # whatever is ready shares the next commit
        self._is_in_pump = True
        try:
            now = self._store.now()
            batch: Batch = []
            for resident in self._choose():
                if self.residents.get(resident.tid) is resident:
                    turn = self._turn_of(resident, now)
                    if turn is not None:
                        batch.append((resident, turn))
            if batch:
                self._outbox.send(batch, now)
        finally:
            self._is_in_pump = False
        self._arm_pump()

    def _pump_one(self, resident: Resident) -> None:
        """What `_pump` does, for the only run that is ready: half the way of a short step."""
        if self._outbox.is_busy or self._is_closed:
            self._make_ready(resident)
            return
        self._is_in_pump = True
        try:
            now = self._store.now()
            turn = self._turn_of(resident, now)
            if turn is None:
                pass
            elif turn.then is not None or turn.children or turn.cancel_children:
                self._outbox.send([(resident, turn)], now)
            elif self._outbox.commit(resident, turn, now):
                resident.is_committing = False
                self._note_written(resident, turn)
                self._act(resident)
        finally:
            self._is_in_pump = False
        self._arm_pump()

    def _turn_of(self, resident: Resident, now: int) -> Turn | None:
        """The turn of a ready run, to be committed; None: it wants nothing written."""
        self._active = resident
        try:
            if self._always_replay and resident.seq and resident.parking is None:
                self._revival.replay_again(resident)
            turn = take_turn(resident, now, self)
        finally:
            self._active = None
        if turn is not None:
            resident.is_committing = True
        elif not resident.is_settled:
            self._resume(resident)
        return turn

    def _choose(self) -> list[Resident]:
        """The ready runs whose turn it is, by TID."""
        ready = self._ready
        return [ready.pop(tid) for tid in sorted(ready)[:MAX_BATCH]]

    def fingerprint(self) -> str:
        return self._host.fingerprint()

    def is_here(self, tid: int) -> bool:
        """Whether a run is in memory here (when always replaying, none is)."""
        return not self._always_replay and tid in self.residents

    # --- after the commit ---------------------------------------------------------------------------

    def _settle(self, batch: Batch, verdicts: list[Verdict]) -> None:
        concerns_others = has_asked_children = False
        to_look_at: set[int] = set()
        for (resident, turn), verdict in zip(batch, verdicts, strict=True):
            resident.is_committing = False
            if turn.then is None and verdict is Verdict.COMMITTED and not turn.children:
                self._note_written(resident, turn)
                self._act(resident)
                if turn.cancel_children:
                    concerns_others = has_asked_children = True
                continue
            if verdict is Verdict.STALE:
                logger.warning(
                    "run %d is held by another worker now; what this one did since is refused",
                    resident.tid,
                )
                self._forget(resident)
                continue
            self._note_written(resident, turn)
            if turn.cancel_children:
                concerns_others = has_asked_children = True
            for child in turn.children:
                concerns_others = self._born(child) or concerns_others
            if turn.then is None or verdict is Verdict.MAIL:
                if verdict is Verdict.MAIL:
                    to_look_at.add(resident.tid)
                self._act(resident)
                continue
            concerns_others = True
            self._let_go(resident, turn.then)
            if resident.parent is not None:
                self._tell_parent(resident.parent, turn.then, to_look_at)
        if has_asked_children:
            # They may be held here, or wait in the store to be claimed here.
            self._run_errand(self.look_for_mail())
            self._host.claimable(None)
        elif to_look_at:
            self._run_errand(self.look_for_mail(to_look_at))
        if concerns_others:
            self._store.poke()
        self._arm_pump()

    def _note_written(self, resident: Resident, turn: Turn) -> None:
        if resident.birth is not None:
            resident.birth = None
            if resident.on_stored is not None:
                resident.on_stored()
        if turn.rows:
            resident.seq += len(turn.rows)
            resident.last_at = turn.rows[-1].at
        if turn.progress:
            resident.crashes = 0
        if turn.consumed:
            resident.seen.difference_update(turn.consumed)

    def _tell_parent(self, tid: int, then: Any, to_look_at: set[int]) -> None:
        parent = self.residents.get(tid)
        if isinstance(then, Finish):
            if parent is None:
                self._host.claimable(None)
            else:
                to_look_at.add(tid)
        elif parent is not None:
            self._make_ready(parent)  # its child is no longer here: it need not stay, either

    def _act(self, resident: Resident) -> None:
        """Do what a committed turn of a run that stays here asked for."""
        after, resident.after = resident.after, []
        if resident.is_settled:
            for item in after:
                if type(item) is not Step:
                    self._do(resident, item)
                elif item.ordinal in resident.machine.pending:
                    self._launcher.launch(resident, item.ordinal)
        else:
            self._resume(resident)
        if resident.events or (self.is_draining and not resident.flights):
            self._make_ready(resident)

    def _do(self, resident: Resident, item: Command | Event) -> None:
        ordinal = getattr(item, "ordinal", None)
        if isinstance(item, Cancel):
            self._launcher.stop(resident, item.ordinal)
        elif ordinal not in resident.machine.pending:
            pass  # answered or cancelled within the same turn; or an ending, done in `then`
        elif isinstance(item, Timer):
            self._alarms.set(item.due, resident.tid, resident.attempt, item.ordinal)
        elif isinstance(item, Event) and ordinal is not None:
            if item.due is not None:
                self._alarms.set(item.due, resident.tid, resident.attempt, ordinal)
            else:
                self._launcher.launch(resident, ordinal)

    def _resume(self, resident: Resident) -> None:
        """Take up again all that is pending, in order: after a claim."""
        resident.is_settled = True
        for ordinal, pending in list(resident.machine.pending.items()):
            if ordinal not in resident.machine.pending:
                continue  # what came before it here ended the wait for it
            command = pending.command
            if isinstance(command, Timer):
                self._alarms.set(command.due, resident.tid, resident.attempt, ordinal)
            elif isinstance(command, Step) and ordinal not in resident.flights:
                if ordinal in resident.retries:
                    due = resident.retries[ordinal]
                    self._alarms.set(due, resident.tid, resident.attempt, ordinal)
                elif ordinal in resident.started:
                    self._launcher.report_interrupted(resident, ordinal, pending.target)
                else:
                    self._launcher.launch(resident, ordinal)

    def _let_go(self, resident: Resident, then: Finish | Suspend | Park | HandBack) -> None:
        self._launcher.stop_all(resident)
        self.residents.pop(resident.tid, None)
        resident.after.clear()
        if isinstance(then, Suspend):
            self._warm.keep(resident)
            if then.wake_at is not None:
                self._host.claimable(then.wake_at)
        else:
            resident.machine.close()
        if isinstance(then, Finish):
            for error in resident.machine.background_errors:
                logger.error(
                    "a background task of run %d %s() failed and nobody looked: %r",
                    resident.tid,
                    resident.name,
                    error,
                )
            self._waiters.ended(resident.tid, (then.status, then.output, then.error))
            self._host.run_left()
            self._check_quiet()
            return
        if isinstance(then, Park):
            logger.error("run %d %s() is stuck: %s", resident.tid, resident.name, then.reason)
        self._tell_gone(resident.tid)
        self._check_quiet()

    def _tell_gone(self, tid: int) -> None:
        self._waiters.gone(tid)
        self._host.run_left()

    def _forget(self, resident: Resident) -> None:
        """The run is not this worker's any more: stop what runs of it, and write nothing."""
        self._launcher.stop_all(resident)
        if self.residents.get(resident.tid) is resident:
            del self.residents[resident.tid]
        resident.machine.close()
        self._tell_gone(resident.tid)
        self._check_quiet()

    # --- timers -----------------------------------------------------------------------------------

    def _rang(self, tid: int, attempt: int, ordinal: int) -> None:
        resident = self.residents.get(tid)
        if resident is None or resident.attempt != attempt or self.is_draining:
            return
        if ordinal in resident.retries:
            self._launcher.launch(resident, ordinal)
            return
        pending = resident.machine.pending.get(ordinal)
        if pending is not None and isinstance(pending.command, Timer):
            self.post(resident, Event(kind=EventKind.TIMER_FIRED, ordinal=ordinal))

    # --- births -------------------------------------------------------------------------------------

    def new_child(self, parent: Resident, command: Child) -> NewRun:
        """The run for a child command, held here if there is room."""
        pending = parent.machine.pending.get(command.ordinal)
        known = workflow_of(pending.target) if pending is not None else None
        is_held = known is not None and not self.is_draining and self._host.has_room()
        return NewRun(
            tid=self._host.new_tid(),
            kind=Kind.WORKFLOW,
            name=command.name,
            version=known.version if known is not None else "",
            input=bytes(command.input).decode(),
            source=self._host.source_of(known) if known is not None else "",
            namespace=self._host.namespace,
            queue=self._host.queue,
            at=self._store.now(),
            parent=parent.tid,
            parent_ordinal=command.ordinal,
            worker=self._host.worker_id if is_held else None,
        )

    def _born(self, child: NewRun) -> bool:
        """Take up a child that was stored with its parent's turn; True: it is for who claims it."""
        if child.worker != self._host.worker_id:
            self._host.claimable(None)
            return True
        self.begin(child, definition_of(child.name, child.version), is_stored=True)
        return False

    def _rename(self, resident: Resident, turn: Turn, tid: int) -> tuple[Resident, Turn]:
        """Choose another TID where this one belongs to another run already."""
        birth = resident.birth
        if birth is None or resident.tid != tid:
            children = [
                renamed(child, self._host.new_tid()) if child.tid == tid else child
                for child in turn.children
            ]
            return resident, msgspec.structs.replace(turn, children=children)
        run = renamed(birth, self._host.new_tid())
        resident.machine.close()
        del self.residents[tid]
        resident.become(run, attempt=1)
        self._begin(resident, run)
        resident.is_committing = True
        self._waiters.renamed(tid, run.tid)
        fresh = take_turn(resident, run.at, self)
        assert fresh is not None, "the first turn of a run has a row"
        return resident, fresh

    # --- the end ------------------------------------------------------------------------------------

    async def drain(self, grace: float) -> None:
        """Start nothing new, wait at most `grace` seconds for what runs to land, and hand back.

        A run whose plain function still runs in a thread after the grace is handed back all the
        same, and that is logged: the function may go on beside its repetition.
        """
        self.is_draining = True
        self._intake.store_all()
        for resident in list(self.residents.values()):
            self._make_ready(resident)
        if self._is_hurried or not await self._is_quiet_within(grace):
            for resident in list(self.residents.values()):
                self._launcher.stop_all(resident)
                self._make_ready(resident)
            await self._is_quiet_within(5.0)

    async def _is_quiet_within(self, seconds: float) -> bool:
        self._quiet.clear()
        self._check_quiet()
        try:
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return not self.residents

    def hurry(self) -> None:
        """End the grace of `drain`: what still runs is handed back at once."""
        self._is_hurried = True
        self._quiet.set()

    def _check_quiet(self) -> None:
        if not self.residents:
            self._quiet.set()

    def abandon_all(self) -> list[tuple[Resident, NewRun]]:
        """The lease is lost: forget every run, cold and warm, and write nothing.

        Returns the runs that were never stored; `rebear` takes them up again.
        """
        self._outbox.drop()
        unborn = [(r, r.birth) for r in self.residents.values() if r.birth is not None]
        for resident in list(self.residents.values()):
            self._forget(resident)
        self._warm.close()
        self._ready.clear()
        return unborn

    def rebear(self, resident: Resident, run: NewRun, worker: int) -> None:
        """Take up a run again, for another worker id, that was not stored before the lease was lost."""
        if resident.birth is None:
            return  # stored meanwhile, for whoever claims it
        resident.become(run, attempt=1)
        self._begin(resident, dataclasses.replace(run, worker=worker))

    def close(self) -> None:
        """Let go of everything in memory. The store is not touched."""
        self._is_closed = True
        self._alarms.close()
        self.abandon_all()

    def activity(self) -> str:
        """What the loop is busy with, in words, for whoever wonders why it does not answer."""
        if self._active is not None:
            return f"the body of {self._active.name}() of run {self._active.tid}"
        task = asyncio.current_task(self._loop)
        for resident in list(self.residents.values()):
            for flight in list(resident.flights.values()):
                if flight.task is task and task is not None:
                    return str(flight)
        return "something that is not Perdure's"

    def _run_errand(self, errand: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
