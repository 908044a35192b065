"""Daemon threads in which plain functions run.

Not a `ThreadPoolExecutor`: its threads are joined at exit, so that one stuck call would keep the
process from ending, and a call that was given up would keep its place for ever. Here a call can be
abandoned: its thread goes on (a thread cannot be stopped), its place is free, and it is counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

IDLE_SECONDS = 10.0
"""A thread with nothing to do ends after this."""


class Call:
    """One call that was handed to the threads."""

    __slots__ = ("state", "work")

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.state = "queued"

    @property
    def is_running(self) -> bool:
        return self.state == "running"


class Threads:
    """At most `limit` threads at work, started when needed.

    `submit` and `abandon` may be called from any thread; the work reports for itself.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Condition()
        self._queue: deque[Call] = deque()
        self._alive = 0
        self._idle = 0
        self._abandoned = 0
        self._count = 0

    @property
    def abandoned(self) -> int:
        """How many threads still run a call that was given up."""
        return self._abandoned

    def submit(self, work: Callable[[], None]) -> Call:
        """Run `work` in a thread as soon as one is free. `work` must not raise."""
        call = Call(work)
        with self._lock:
            self._queue.append(call)
            if self._idle >= len(self._queue):
                self._lock.notify()
            else:
                self._add_thread()
        return call

    def _add_thread(self) -> None:
        if self._alive - self._abandoned < self._limit:
            self._alive += 1
            self._count += 1
            name = f"perdure-function-{self._count}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def abandon(self, call: Call) -> bool:
        """Give a call up: True if it runs (its thread is lost to it), False if it never began."""
        with self._lock:
            if call.state == "queued":
                self._queue.remove(call)
                call.state = "done"
                return False
            if call.state == "running":
                call.state = "abandoned"
                self._abandoned += 1
                if len(self._queue) > self._idle:
                    self._add_thread()  # its place is free, and somebody waits for one
                return True
            return False

    def _work(self) -> None:
        while True:
            call = self._next()
            if call is None:
                return
            call.work()
            with self._lock:
                if call.state == "abandoned":
                    # Another thread has taken this one's place.
                    self._abandoned -= 1
                    self._alive -= 1
                    return
                call.state = "done"
            del call  # nothing of a finished call is kept while the thread waits

    def _next(self) -> Call | None:
        with self._lock:
            while not self._queue:
                self._idle += 1
                notified = self._lock.wait(IDLE_SECONDS)
                self._idle -= 1
                if not notified and not self._queue:
                    self._alive -= 1
                    return None
            call = self._queue.popleft()
            call.state = "running"
            return call
