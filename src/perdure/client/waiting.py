"""Waiting for something to happen to a run, wherever it happens.

Three things wake a waiter: the engine of this process (if the run ends here), a poke of whoever
committed something, and the passing of a second, in case a poke was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Self
from weakref import WeakKeyDictionary

from perdure.client.host import Host
from perdure.core.errors import UsageError
from perdure.core.run import Run

if TYPE_CHECKING:
    from perdure.store import Listener, Store

PATIENCE_SECONDS = 2.0
"""So long a run that is parked at the first look may take to go on: perhaps the code was mended,
and the worker that has it has just begun.

A time and no signal, because there is nobody to give one: a worker that tries a parked run changes
its status, but one that looks at it and leaves it parked writes nothing, and the one that will look
may not be registered yet. To know it, each worker would have to record which parked runs it has seen:
a write per worker and run, for an answer that comes at most this much earlier."""
LOOK_SECONDS = 1.0
"""A waiter looks this often although nobody woke it."""


class Ear:
    """Hears of changes of one run; a context manager.

    Args:
        store: The store of this process's questions (not the worker's own object).
        host: The host of this process, or None.
        tid: The run.
    """

    def __init__(self, store: Store, host: Host | None, tid: int) -> None:
        self._store = store
        self._host = host
        self._tid = tid

    def __enter__(self) -> Self:
        self._listener = self._store.listen()
        self._end, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._end, False)
        self._lock = threading.Lock()
        self._is_open = True
        self._poll = select.poll()  # select() knows no descriptor above 1023
        self._poll.register(self._listener.fileno(), select.POLLIN)
        self._poll.register(self._end, select.POLLIN)
        self._tell_engine("when_ended")
        return self

    def __exit__(self, *exc: object) -> None:
        self._tell_engine("forget_waiter")
        with self._lock:  # the engine's thread may ring just now: not into a number used anew
            self._is_open = False
            os.close(self._bell)
        self._listener.close()
        os.close(self._end)

    def _tell_engine(self, what: Literal["when_ended", "forget_waiter"]) -> None:
        if self._host is None:
            return
        with contextlib.suppress(RuntimeError, UsageError):  # it has ended; others will poke
            tell = getattr(self._host.worker.engine, what)
            if self._host.is_on_this_loop():
                tell(self._tid, self._ring)
            else:
                self._host.loop.call_soon_threadsafe(tell, self._tid, self._ring)

    def wait(self, timeout: float | None) -> None:
        """Block until something may have changed, at most `timeout` seconds."""
        seconds = LOOK_SECONDS if timeout is None else min(LOOK_SECONDS, max(timeout, 0.0))
        self._poll.poll(seconds * 1000)
        self._listener.drain()
        self._drain()

    def _ring(self, _ending: object) -> None:
        with self._lock:
            if self._is_open:
                with contextlib.suppress(OSError):  # full: it rings already
                    os.write(self._bell, b".")

    def _drain(self) -> None:
        try:
            os.read(self._end, 4096)
        except BlockingIOError:
            pass


def wait_until_final(
    store: Store,
    host: Host | None,
    tid: int,
    timeout: float | None,
    *,
    look_after: Callable[[], object] = lambda: None,
) -> Run | None:
    """Block until a run is finished, stuck or blocked; None: not within `timeout` seconds.

    `look_after` is called about once a second meanwhile.
    """
    run = store.get(tid)
    if run is None or run.status.is_final:
        return run
    deadline = None if timeout is None else time.monotonic() + timeout
    patience = time.monotonic() + PATIENCE_SECONDS if stands_still(run) else 0.0
    with Ear(store, host, tid) as ear:
        while True:
            run = store.get(tid)
            if run is None or run.status.is_final:
                return run
            if stands_still(run) and time.monotonic() >= patience:
                return run
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return None
            look_after()
            ear.wait(remaining)


class Watch:
    """Waits on one loop for any number of runs, with one ear for all of them.

    A look asks the store for every run that is waited for, so it is taken at most so often that
    looking takes a twentieth of the time; runs that end in this process are told at once.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._waiting: dict[int, list[asyncio.Future[Run | None]]] = {}
        self._look_after: dict[int, Callable[[], object]] = {}
        self._patience: dict[int, float] = {}
        self._listener: Listener | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    async def wait(
        self, host: Host | None, tid: int, look_after: Callable[[], object]
    ) -> Run | None:
        """Wait until a run is finished, stuck or blocked; None: there is no such run."""
        run = self._store.get(tid)
        if run is None or run.status.is_final:
            return run
        if stands_still(run):
            self._patience[tid] = self._loop.time() + PATIENCE_SECONDS
        future: asyncio.Future[Run | None] = self._loop.create_future()
        self._waiting.setdefault(tid, []).append(future)
        self._look_after.setdefault(tid, look_after)
        if self._listener is None:
            self._listener = self._store.listen()
            self._loop.add_reader(self._listener.fileno(), self._on_poke)
            self._plan(LOOK_SECONDS)
        engine = host.worker.engine if host is not None and host.is_on_this_loop() else None

        def look(_ending: object) -> None:
            self._look_at(tid)

        if engine is not None:
            engine.when_ended(tid, look)
        self._look_at(tid)  # it may have ended just before we listened
        try:
            return await future
        finally:
            if engine is not None:
                engine.forget_waiter(tid, look)
            self._leave(tid, future)

    def _leave(self, tid: int, future: asyncio.Future[Run | None]) -> None:
        futures = self._waiting.get(tid, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._waiting.pop(tid, None)
            self._look_after.pop(tid, None)
            self._patience.pop(tid, None)
        if not self._waiting and self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            if self._handle is not None:
                self._handle.cancel()
                self._handle = None

    def _on_poke(self) -> None:
        if self._listener is not None:
            self._listener.drain()
            self._plan(max(0.0, self._not_before - self._loop.time()))

    def _plan(self, seconds: float) -> None:
        if self._handle is not None:
            if self._handle.when() <= self._loop.time() + seconds:
                return
            self._handle.cancel()
        self._handle = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._handle = None
        began = self._loop.time()
        for tid in list(self._waiting):
            self._look_at(tid)
        took = self._loop.time() - began
        self._not_before = began + 20 * took
        if self._waiting:
            self._plan(max(LOOK_SECONDS, 20 * took))

    def _look_at(self, tid: int) -> None:
        futures = self._waiting.get(tid)
        if not futures:
            return
        run = self._store.get(tid)
        is_parked = run is not None and not run.status.is_final and stands_still(run)
        if is_parked and self._loop.time() < self._patience.get(tid, 0.0):
            self._look_after[tid]()
        elif run is None or stands_still(run):
            for future in futures:
                if not future.done():
                    future.set_result(run)
        else:
            self._look_after[tid]()


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Watch]] = WeakKeyDictionary()


async def wait_until_final_async(
    store: Store,
    host: Host | None,
    tid: int,
    *,
    look_after: Callable[[], object] = lambda: None,
) -> Run | None:
    """Wait on the running loop until a run is finished, stuck or blocked; None: it is not there."""
    loop = asyncio.get_running_loop()
    watches = _watches.setdefault(loop, {})
    watch = watches.get(id(store))
    if watch is None:
        watch = watches[id(store)] = Watch(store, loop)
    return await watch.wait(host, tid, look_after)


def stands_still(run: Run) -> bool:
    """Whether waiting for the run is of no use: it is finished, or waits for a person."""
    return run.status.is_final or run.status in ("stuck", "blocked")
