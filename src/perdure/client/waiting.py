"""Waiting for something to happen to a run, wherever it happens.

Three things wake a waiter: the engine of this process (if the run ends here), a poke of whoever
committed something, and the passing of a second, in case a poke was lost.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from typing import TYPE_CHECKING, Self

from perdure.client.host import Host
from perdure.core.run import Run

if TYPE_CHECKING:
    from perdure.store import Store

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
        self._is_open = True
        if self._host is not None:
            engine = self._host.worker.engine
            if self._host.is_on_this_loop():
                engine.when_ended(self._tid, self._ring)
            else:
                self._host.loop.call_soon_threadsafe(engine.when_ended, self._tid, self._ring)
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_open = False
        self._listener.close()
        os.close(self._end)
        os.close(self._bell)

    def wait(self, timeout: float | None) -> None:
        """Block until something may have changed, at most `timeout` seconds."""
        seconds = LOOK_SECONDS if timeout is None else min(LOOK_SECONDS, max(timeout, 0.0))
        select.select([self._listener.fileno(), self._end], [], [], seconds)
        self._listener.drain()
        self._drain()

    async def hear(self) -> None:
        """Wait on the running loop until something may have changed."""
        loop = asyncio.get_running_loop()
        heard = loop.create_future()

        def wake() -> None:
            if not heard.done():
                heard.set_result(None)

        descriptors = (self._listener.fileno(), self._end)
        for descriptor in descriptors:
            loop.add_reader(descriptor, wake)
        handle = loop.call_later(LOOK_SECONDS, wake)
        try:
            await heard
        finally:
            handle.cancel()
            for descriptor in descriptors:
                loop.remove_reader(descriptor)
        self._listener.drain()
        self._drain()

    def _ring(self, _ending: object) -> None:
        if self._is_open:
            try:
                os.write(self._bell, b".")
            except OSError:
                pass  # full: it rings already

    def _drain(self) -> None:
        try:
            os.read(self._end, 4096)
        except BlockingIOError:
            pass


def wait_until_final(
    store: Store, host: Host | None, tid: int, timeout: float | None
) -> Run | None:
    """Block until a run is finished, stuck or blocked; None: not within `timeout` seconds."""
    run = store.get(tid)
    if run is None or stands_still(run):
        return run
    deadline = None if timeout is None else time.monotonic() + timeout
    with Ear(store, host, tid) as ear:
        while True:
            run = store.get(tid)
            if run is None or stands_still(run):
                return run
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return None
            ear.wait(remaining)


async def wait_until_final_async(store: Store, host: Host | None, tid: int) -> Run | None:
    """Wait on the running loop until a run is finished, stuck or blocked."""
    run = store.get(tid)
    if run is None or stands_still(run):
        return run
    with Ear(store, host, tid) as ear:
        while True:
            run = store.get(tid)
            if run is None or stands_still(run):
                return run
            await ear.hear()


def stands_still(run: Run) -> bool:
    """Whether waiting for the run is of no use: it is finished, or waits for a person."""
    return run.status.is_final or run.status in ("stuck", "blocked")
