"""A process that is a worker and nothing else: `perdure worker run`, with or without --background.

One process may be several workers in a row (a background worker that was about to end, and saw work
in its last look), and one worker may be several processes in a row: when the code on disk changes,
or too many threads hang, it drains and a *successor* starts with fresh code. How it starts is what
tells the two kinds apart:

- the background worker holds the project's lock and hands it over to its successor, so that nobody
  else becomes the background worker in between;
- a worker that was started by hand replaces itself (exec): its supervisor, its terminal and its pid
  stay the same.

A module that cannot be imported ends a worker that was started by hand, since somebody is looking.
The background worker logs it and goes on: the runs that need it are blocked with the reason, and go
on once it is mended.

A loop that hangs past its lease in what it runs (`while True: pass`) is ended from within, by the
lease's thread, since nobody else would: the kernel sees a process at work. The background worker
hands its lock to a successor before; one that was started by hand leaves that to its supervisor.
Either way the death can be proven at once, and counts against the runs that it held: who hangs five
workers in a row is parked.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from perdure.core.errors import DiscoveryError
from perdure.core.run import Status
from perdure.project.folder import VARIABLE, Project
from perdure.project.settings import Settings
from perdure.store import RunFilter, Store
from perdure.worker.background import start_background_worker
from perdure.worker.leader import LeaderLock
from perdure.worker.signals import EndAtOnce, Stopped, StopSignals, hold
from perdure.worker.worker import Outcome, Worker

log = logging.getLogger("perdure.worker")

LOCK_LOOK_SECONDS = 2.0
"""How often a background worker looks whether the lock that it holds is still the project's."""

LAST_WORDS_SECONDS = 5.0
"""A process that ends because its loop hangs takes at most so long to say so."""

YOUNG_OBJECTS = 10_000
"""So many new objects before the collector looks through them, in a process that is a worker and
nothing else. Python's own 700 suit a script; runs in flight are made of more than that, and looking
through them again and again takes a tenth of the time of short runs."""

_UNFINISHED = (Status.QUEUED, Status.RUNNING, Status.WAITING, Status.BLOCKED)


@dataclass(frozen=True, slots=True)
class _End:
    outcome: Outcome
    is_forced: bool


class WorkerProcess:
    """Makes the calling process a worker of a project (main thread only).

    Args:
        project: Whose runs it executes.
        settings: How it works; `settings.modules` are imported first.
        open_store: Opens the project's store.
        name: What the worker is called; "host:pid" by default.
        lock: The project's lock, held by this process: then it is the background worker, and ends
            when it is idle. None: it was started by hand.
        hosting: Entered on the worker's loop while it works; makes it the host of what its steps
            start.
        started: Called once the worker is registered.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        open_store: Callable[[], Store],
        *,
        name: str | None = None,
        lock: LeaderLock | None = None,
        hosting: Callable[[Worker], AbstractContextManager[object]] = nullcontext,
        started: Callable[[Worker], object] = lambda _worker: None,
    ) -> None:
        self._project = project
        self._settings = settings
        self._open_store = open_store
        self._name = name
        self._lock = lock
        self._hosting = hosting
        self._started = started
        self._signals: StopSignals | None = None
        self._folder = os.getcwd()

    def run(self) -> int:
        """Work until stopped, idle or replaced.

        Returns:
            The exit code: 0 after an end in good order, 1 if a second signal forced it (a loop that
            hangs ends the process with 1, too).

        Raises:
            DiscoveryError: A module cannot be imported, and somebody is looking (see above).
            StoreError: The store cannot be opened.
        """
        # What the steps of this worker start belongs to this project, wherever they change to.
        os.environ[VARIABLE] = str(self._project.root)
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        try:
            with EndAtOnce():
                return self._run()
        except Stopped:
            return 0  # the lock goes with the process

    def _run(self) -> int:
        while True:
            end = self._work()
            match end.outcome:
                case Outcome.CHANGED | Outcome.WORN:
                    self._make_way()
                    return 0
                case Outcome.IDLE if self._lock is not None and self._goes_on(self._lock):
                    continue
                case _:
                    if self._lock is not None:
                        self._lock.release()
                    return 1 if end.is_forced else 0

    # --- one worker ---------------------------------------------------------------------------------

    def _work(self) -> _End:
        store = self._open_store()
        try:
            worker = Worker(
                store,
                self._open_store,
                settings=self._settings.worker,
                namespace=self._settings.namespace,
                root=self._project.root,
                name=self._name,
                is_background=self._lock is not None,
                watch_sources=True,
                hung=self._on_hang,
            )
            self._load(worker)
            return asyncio.run(self._serve(worker))
        finally:
            store.close()

    def _load(self, worker: Worker) -> None:
        for module in self._settings.modules:
            try:
                worker.repertoire.load([module])
            except DiscoveryError as error:
                if self._lock is None:
                    raise
                log.error("%s", error)  # noqa: TRY400  # the message names the line; it is enough

    async def _serve(self, worker: Worker) -> _End:
        loop = asyncio.get_running_loop()
        forced: list[bool] = []

        def force() -> None:
            forced.append(True)
            worker.hurry()

        def insist() -> None:
            what = worker.what_hangs() or "a store that does not answer"
            _say_last(f"the second signal is not heard in {what}; the process ends at once")
            os._exit(1)

        with StopSignals(loop, drain=worker.request_stop, force=force, deaf=insist) as signals:
            self._signals = signals
            await worker.start()
            if self._lock is not None:
                self._lock.sign(pid=os.getpid(), worker=worker.worker_id)
                self._watch_lock(self._lock, loop, worker)
            log.info("worker %s works on %s (pid %d)", worker.name, self._what(), os.getpid())
            with self._hosting(worker):
                self._started(worker)
                outcome = await worker.wait()
                log.info("worker %s ends: %s", worker.name, outcome.value)
                await worker.close()
        # Whoever asked for the end meant the process, also if it was about to start afresh.
        return _End(Outcome.STOPPED if signals.is_told else outcome, bool(forced))

    def _watch_lock(
        self, lock: LeaderLock, loop: asyncio.AbstractEventLoop, worker: Worker
    ) -> None:
        """End when the lock's file is gone or another one: the project was deleted or moved."""
        if not lock.is_held_here:
            log.warning("%s was deleted; this worker ends", lock.path)
            worker.request_stop()
            return
        loop.call_later(LOCK_LOOK_SECONDS, self._watch_lock, lock, loop, worker)

    def _on_hang(self, what: str) -> None:
        """End this process: its loop hangs, and its lease is over (called in another thread)."""
        _say_last(
            f"worker {self._name or os.getpid()} ends: its loop hangs in {what}; the lease is over,"
            " and its runs go on with the next worker. Await what takes long, or make it a plain"
            " `def` function, which runs in a thread"
        )
        is_asked_to_end = self._signals is not None and self._signals.is_told
        if self._lock is not None and not is_asked_to_end:
            try:
                start_background_worker(self._project, self._lock)
            except OSError:
                log.exception("no successor could be started; the next command starts one")
        os._exit(1)

    def _what(self) -> str:
        modules = ", ".join(self._settings.modules)
        return f"{self._project.root}{f' with {modules}' if modules else ''}"

    # --- between workers ------------------------------------------------------------------------------

    def _goes_on(self, lock: LeaderLock) -> bool:
        """Let go of the lock and look once more; True: there is work, and the lock is held again.

        A run that was recorded before the lock was free is seen here; whoever records one later
        finds the lock free, and starts a worker.
        """
        lock.release()
        store = self._open_store()
        try:
            unfinished = store.runs(
                RunFilter(namespace=self._settings.namespace, statuses=_UNFINISHED, limit=1)
            )
        finally:
            store.close()
        return bool(unfinished) and lock.take()

    def _make_way(self) -> None:
        """Start the successor: with the lock, or in this very process."""
        logging.shutdown()
        if self._lock is not None:
            try:
                start_background_worker(self._project, self._lock)
            except OSError:
                log.exception("no successor could be started; the next command starts one")
                self._lock.release()
            return
        os.chdir(self._folder)
        hold()
        # The words of the shell, with the interpreter's options: `python -X dev -m perdure …`.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # no shell


def _say_last(sentence: str) -> None:
    """Log the last words of a process that is about to end in another thread than its main one.

    The log itself may be what hangs (a pipe that nobody reads): then a timer ends the process.
    """
    faulthandler.dump_traceback_later(LAST_WORDS_SECONDS, exit=True, file=2)
    log.critical(sentence)
