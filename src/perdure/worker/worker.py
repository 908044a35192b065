"""A worker: claims runs, lets the engine execute them, and keeps the promises around that.

One worker lives on one event loop, which is its own (a worker process, or a thread beside a script)
or its host's (``async with perdure.open()``). What it does beside executing:

- it *claims* what is due: when poked, when the next deadline comes, and once a second in case a
  poke was lost;
- it keeps its *lease* (a thread), and when it is buried nevertheless (the process was stopped past
  its lease), it forgets everything, registers anew and goes on as another worker;
- it *buries* dead workers, so that their runs go on;
- it *learns* unknown code by importing it, or blocks the runs with the reason;
- it *ends* in good order: drains, hands back, retires.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from perdure.core.errors import LostLease, StoreUnavailable, StoreUnusable
from perdure.core.run import NewRun
from perdure.engine.committer import Committer
from perdure.engine.engine import Engine
from perdure.engine.resident import Definition, Resident
from perdure.engine.tids import make_tid
from perdure.project.settings import WorkerSettings
from perdure.project.watch import SourceWatch
from perdure.store import Listener, Store, WorkerRow
from perdure.worker.claiming import Claiming
from perdure.worker.hang import hang_of
from perdure.worker.identity import Identity
from perdure.worker.learning import Learning
from perdure.worker.lease import Lease
from perdure.worker.pulse import Pulse
from perdure.worker.repertoire import Repertoire
from perdure.worker.takeover import Takeover
from perdure.worker.watchdog import Watchdog

log = logging.getLogger("perdure.worker")

NET_SECONDS = 1.0
"""How often a worker looks for what a lost poke would have told it."""
BEAT_SECONDS = 0.5
"""How often the loop shows that it turns, at least; more often for a short `block_warning`."""
SECOND = 1_000_000


class Outcome(StrEnum):
    """Why a worker ended."""

    STOPPED = "stopped"
    IDLE = "idle"
    CHANGED = "changed"
    """The code on disk is no longer the code that it loaded: a successor should start."""
    WORN = "worn"
    """Too many threads hang in functions that were given up: a successor should start."""


class Worker:
    """Executes the runs of one store.

    Args:
        store: Where the runs are; used on this loop and by the committer only.
        open_store: Opens the store again, for the lease's thread.
        settings: How it works.
        namespace: Which runs concern it.
        root: The project from which it imports code; None: it runs what is declared already.
        name: For people; "host:pid" by default.
        is_background: The project started it for itself.
        is_shared: The loop belongs to somebody else's application.
        watch_sources: End when the code on disk changes, or when too many threads hang, for a
            successor to start afresh.
        hung: Called in another thread, again and again, with what hangs (see `what_hangs`), while
            the loop is silent and the lease is over. None: the process is somebody else's.
        always_replay: Testing: every turn starts from the journal.
    """

    queue = "default"

    def __init__(
        self,
        store: Store,
        open_store: Callable[[], Store],
        *,
        settings: WorkerSettings,
        namespace: str = "default",
        root: Path | None = None,
        name: str | None = None,
        is_background: bool = False,
        is_shared: bool = False,
        watch_sources: bool = False,
        hung: Callable[[str], object] | None = None,
        always_replay: bool = False,
    ) -> None:
        self.namespace = namespace
        self.worker_id = 0
        self.repertoire = Repertoire(root)
        self._store = store
        self._open_store = open_store
        self._settings = settings
        self._identity = Identity.of_this_process()
        self.name = name or f"{self._identity.host}:{self._identity.pid}"
        self._is_background = is_background
        self._is_shared = is_shared
        self._hung = hung
        self._always_replay = always_replay
        self._pulse = Pulse()
        self._thread = 0
        self._sources = SourceWatch(root) if watch_sources and root is not None else None
        self._lease: Lease | None = None
        self._is_lost = False
        self._missing: set[tuple[int, int]] = set()
        self._unborn: list[tuple[Resident, NewRun]] = []
        self._outcome: Outcome | None = None
        self._is_worn = False
        self._net_at = 0.0
        self._idle_since = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Register, and be ready to execute; called on the loop that is to be used."""
        if self._sources is not None:
            self._sources.remember()
        loop = self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._wake = asyncio.Event()
        self._is_over = asyncio.Event()
        self.committer = Committer(loop, shared=self._is_shared)
        self.engine = Engine(
            self._store,
            self,
            loop,
            self.committer,
            threads=self._settings.threads,
            cached_runs=self._settings.cached_runs,
            always_replay=self._always_replay,
        )
        self._claiming = Claiming(
            self._store,
            self,
            self.engine,
            self.committer,
            self.repertoire,
            concurrency=self._settings.concurrency,
            plan=self._plan,
        )
        self._learning = Learning(self._store, self, self.committer, self.repertoire, self._sources)
        self._takeover = Takeover(self._bury, patience=self._settings.lease / SECOND)
        self._listener: Listener = self._store.listen()
        loop.add_reader(self._listener.fileno(), self._on_poke)
        loop.add_reader(self._takeover.fileno(), self._on_death)
        try:
            await self._register()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self.committer.run_now(self._retire)  # it may be registered all the same
            self._let_go()
            raise
        self._watchdog = Watchdog(
            pulse=self._pulse,
            current=self.engine.activity,
            block_warning=self._settings.block_warning / SECOND,
        )
        self._watchdog.start()
        self._idle_since = loop.time()
        self._beat()
        try:
            # Before anybody starts a run with a key: the one that has it may be stuck.
            await self._learning.unpark(self._store.now())
        except StoreUnavailable:
            pass  # the service tries again
        except BaseException:
            await self._sign_off()
            raise
        self._wake.set()
        self._main = loop.create_task(self._serve(), name="perdure-worker")

    async def _register(self) -> None:
        ttl = self._settings.lease / SECOND
        now = self._store.now()
        me = self.worker_id = make_tid(now)
        self._lease = Lease(
            worker=self.worker_id,
            ttl=ttl,
            open_store=self._open_store,
            lost=lambda _reason: self._loop.call_soon_threadsafe(self._on_lease_lost, me),
            name=self.name,
            pulse=self._pulse,
            hung=None if self._hung is None else self._on_hang,
        )
        row = WorkerRow(
            id=self.worker_id,
            name=self.name,
            host=self._identity.host,
            boot_id=self._identity.boot_id,
            pid_namespace=self._identity.pid_namespace,
            pid=self._identity.pid,
            started=self._identity.started,
            lease_until=now + self._settings.lease,
            registered_at=now,
            namespace=self.namespace,
            serves=None
            if self.repertoire.imports
            else tuple(sorted({name for name, _version in self.repertoire.names()})),
            is_background=self._is_background,
            python=platform.python_version(),
        )
        await self.committer.call(self._store.register, row)
        self._is_lost = False
        self._lease.start()

    async def wait(self) -> Outcome:
        """Wait until the worker has ended by itself or was stopped."""
        await self._is_over.wait()
        return self._outcome or Outcome.STOPPED

    def request_stop(self, outcome: Outcome = Outcome.STOPPED) -> None:
        """Claim nothing more, and let `wait` return; `close` then drains."""
        if self._outcome is None:
            self._outcome = outcome
        self._wake.set()

    def hurry(self) -> None:
        """End the grace of `close` now: hand back at once what still runs."""
        self.request_stop()
        self.engine.hurry()

    @property
    def is_ending(self) -> bool:
        """Whether it claims nothing more."""
        return self._outcome is not None

    async def close(self, grace: float | None = None) -> None:
        """End in good order: finish or hand back what runs, retire, let go of the store.

        Args:
            grace: Seconds for steps that run; None: as the setting `worker.drain` says.
        """
        self.request_stop()
        try:
            await asyncio.wait([self._main])
            if not self._is_lost:
                seconds = self._settings.drain / SECOND if grace is None else grace
                await self.engine.drain(seconds)
        finally:
            await self._sign_off()

    async def _sign_off(self) -> None:
        """Retire and let go of the store, also when this is cancelled: nobody else would do it, and
        a lease that nobody ends is renewed for as long as the process lives."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._beating.cancel()
        self._watchdog.stop()
        assert self._lease is not None
        try:
            await asyncio.to_thread(self._lease.stop)
            await self.committer.call(self._retire)
        except asyncio.CancelledError:
            self._lease.stop()
            self.committer.run_now(self._retire)
            raise
        finally:
            self._let_go()

    def _retire(self) -> None:
        try:
            if self._store.retire(self.worker_id):
                self._store.poke()
        except (StoreUnavailable, StoreUnusable, LostLease) as error:
            log.warning("worker %s could not sign off: %s", self.name, error)

    def _let_go(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.remove_reader(self._takeover.fileno())
        self.engine.close()
        self.committer.close()
        self._takeover.close()
        self._listener.close()

    # --- what the engine asks (engine.Host) ---------------------------------------------------------

    def new_tid(self) -> int:
        return make_tid(self._store.now())

    def may_start(self) -> bool:
        return self._lease is not None and self._lease.valid()

    def has_room(self) -> bool:
        return (
            self._outcome is None
            and not self._is_lost
            and not self._claiming.has_lone_run()
            and len(self.engine.residents) < self._settings.concurrency
        )

    def source_of(self, definition: Definition) -> str:
        return self.repertoire.source_of(definition.fn)

    def stranger(self, definition: Definition, source: str) -> str:
        return self.repertoire.stranger(definition.fn, source)

    def fingerprint(self) -> str:
        return self.repertoire.fingerprint()

    def claimable(self, at: int | None) -> None:
        if at is None:
            self._wake.set()
        else:
            self._plan(at)

    def run_left(self) -> None:
        if self._claiming.is_full:
            self._claiming.is_full = False
            self._wake.set()

    def lost(self) -> None:
        """Somebody buried this worker: nothing that it holds in memory is its own any more."""
        if not self._is_lost:
            self._is_lost = True
            self._wake.set()

    def what_hangs(self) -> str:
        """What the loop is stuck in, with the run and the line; "" if it waits for its database, or
        for a person with a debugger. For other threads, and for signal handlers."""
        hang = hang_of(self._thread)
        return "" if hang.is_excused else f"{self.engine.activity()} at {hang.place}"

    def _on_hang(self) -> None:
        what = self.what_hangs()
        if what and self._hung is not None:
            self._hung(what)

    def _on_lease_lost(self, worker: int) -> None:
        if worker == self.worker_id:
            self.lost()

    # --- what wakes it ------------------------------------------------------------------------------

    def poked(self) -> None:
        """Somebody changed something in the store that may concern this worker."""
        self._look_for_mail = True
        self._wake.set()

    def _on_poke(self) -> None:
        self._listener.drain()
        self.poked()

    def _on_death(self) -> None:
        self._net_at = 0.0
        self._wake.set()

    def _plan(self, at: int) -> None:
        """Wake at this time (µs, store time), or earlier."""
        if self._alarm is not None:
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        seconds = max(0.0, (at - self._store.now()) / SECOND)
        self._alarm = self._loop.call_later(min(seconds, 3600.0), self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        self._wake.set()

    def _beat(self) -> None:
        self._pulse.beat()
        if self._loop.time() >= self._net_at:
            self._wake.set()
        seconds = min(BEAT_SECONDS, self._settings.block_warning / SECOND / 4)
        self._beating = self._loop.call_later(seconds, self._beat)

    # --- the service ----------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._look_for_mail = False
        while self._outcome is None:
            await self._wake.wait()
            self._wake.clear()
            if self._outcome is not None:
                break
            try:
                await self._attend()
            except StoreUnavailable as error:
                log.warning("worker %s cannot reach its store: %s", self.name, error)
                self._loop.call_later(NET_SECONDS, self._wake.set)
            except LostLease:
                self.lost()
            except StoreUnusable as error:
                log.critical("worker %s ends: %s", self.name, error)
                self.request_stop()
            except Exception:
                log.exception("worker %s: what should not happen; it goes on", self.name)
                self._loop.call_later(NET_SECONDS, self._wake.set)
        self._is_over.set()

    async def _attend(self) -> None:
        if self._is_lost:
            await self._begin_anew()
        if self._sources is not None and self._sources.changed():
            self.request_stop(Outcome.CHANGED)
            return
        if self._look_for_mail:
            self._look_for_mail = False
            await self.engine.look_for_mail()
        if self._loop.time() >= self._net_at:
            await self._net()
            if self._outcome is not None:
                return
        await self._claim()

    async def _begin_anew(self) -> None:
        log.warning("worker %s was buried; it drops what it held and registers anew", self.name)
        if self._lease is not None:
            await asyncio.to_thread(self._lease.stop)
        self._unborn += self.engine.abandon_all()
        # If it was not buried after all, nobody would take over from its old id for a whole lease.
        await self.committer.call(self._store.retire, self.worker_id)
        await self._register()
        # With those that were started in between, still under the old id.
        unborn = self._unborn + self.engine.abandon_all()
        self._unborn = []
        for resident, run in unborn:
            self.engine.rebear(resident, run, self.worker_id)

    async def _claim(self) -> None:
        if not self.may_start():
            self._loop.call_later(BEAT_SECONDS, self._wake.set)
        elif await self._claiming.claim():
            self._wake.set()  # there may be more

    # --- the net --------------------------------------------------------------------------------------

    async def _net(self) -> None:
        """Once a second: whatever nobody told us, or should have."""
        self._net_at = self._loop.time() + NET_SECONDS
        await self.engine.look_for_mail()
        workers = await self.committer.call(self._store.workers)
        now = self._store.now()
        await self._takeover.look(workers, self.worker_id, now)
        if await self._learning.look(self._claiming.what(1), workers, now):
            self._wake.set()
        await self._reclaim()
        self._look_at_threads()
        if self._is_background and self._outcome is None:
            await self._end_if_idle()

    def _look_at_threads(self) -> None:
        abandoned = self.engine.threads.abandoned
        if abandoned <= self._settings.max_abandoned_threads:
            self._is_worn = False
        elif self._sources is not None:
            log.error("%d threads hang in functions given up; the worker starts afresh", abandoned)
            self.request_stop(Outcome.WORN)
        elif not self._is_worn:
            self._is_worn = True
            log.error("%d threads hang in functions that were given up (timed out)", abandoned)

    async def _reclaim(self) -> None:
        """Take up runs that the store says are held here and that are not: a lost answer."""
        held = await self.committer.call(self._store.held, self.worker_id)
        missing = {(tid, attempt) for tid, attempt in held if tid not in self.engine.residents}
        # One that was just stored by a start in another thread is on its way here: look again.
        for tid, attempt in sorted(missing & self._missing):
            run = await self.committer.call(self._store.get, tid)
            if (
                run is not None
                and run.worker == self.worker_id
                and run.attempt == attempt
                and tid not in self.engine.residents
            ):
                log.warning("run %d is held here, but the answer was lost; it goes on", tid)
                await self.engine.adopt([run])
        self._missing = missing

    async def _end_if_idle(self) -> None:
        if self.engine.residents:
            self._idle_since = self._loop.time()
        idle = self._loop.time() - max(self._idle_since, self._claiming.took_at)
        if idle * SECOND < self._settings.idle_exit:
            return
        retired = await self.committer.call(self._store.retire, self.worker_id, if_idle=True)
        if retired is None:
            self._idle_since = self._loop.time()
        else:
            self.request_stop(Outcome.IDLE)

    async def _bury(self, worker: int, proven: bool) -> int | None:
        held = await self.committer.call(self._store.bury, worker, self._store.now(), proven=proven)
        if held:
            self._wake.set()
        return held
