"""Where store verbs run: on the worker's loop, or in a thread beside it.

Two modes, one interface. *Inline*: the loop belongs to the worker and commits are fast; a thread
hop would cost more than the commit. *Threaded*: the loop belongs to the host's application, or
commits were measured slow, or another process holds the database; then a commit must not stop the
loop. The mode only ever changes from inline to threaded, and back when commits are fast again.

Every commit is timed, and all count in the average but those that cannot matter: while the average
is below a tenth of what is slow, so is a commit that is not counted, and counting it would leave the
average there. So one slow commit is enough to be seen, whatever the pattern, and a fast one costs no
more than two looks at the clock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

logger = logging.getLogger("perdure.engine")

T = TypeVar("T")

SLOW_SECONDS = 0.005
"""Commits that take longer than this, on average, are moved off the loop."""
FAST_SECONDS = 0.001
"""Commits that take less than this, on average, may move back onto the loop."""

WORK_SECONDS = 0.0001
"""What a turn costs at most in work, waiting not counted."""

QUICK_SECONDS = SLOW_SECONDS / 10
"""Inline commits below this are not counted while the average is below it, too."""

Done = Callable[[Any, BaseException | None], None]


class Committer:
    """Runs store verbs one after the other and tells on the loop what came of them.

    Args:
        loop: The loop on which `done` callbacks are called.
        shared: The loop belongs to somebody else's application: never run inline.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, shared: bool) -> None:
        self._loop = loop
        self._shared = shared
        self._threaded = shared
        self._average = 0.0
        self._queue: SimpleQueue[tuple[Callable[[], Any], Done, int] | None] = SimpleQueue()
        self._outstanding = 0
        self._thread: threading.Thread | None = None

    @property
    def is_threaded(self) -> bool:
        """Whether verbs run beside the loop just now."""
        return self._threaded

    @property
    def is_inline(self) -> bool:
        """Whether `run` may be called: verbs run on the loop, and none is under way beside it."""
        return not (self._threaded or self._outstanding)

    def run(
        self, weight: int, verb: Callable[..., T], *arguments: Any
    ) -> tuple[T | None, BaseException | None]:
        """Run a verb here and now, while `is_inline`; returns its result, or its error."""
        began = time.perf_counter()
        try:
            return verb(*arguments), None
        except Exception as error:  # noqa: BLE001 - handed to the caller, who knows what to do
            return None, error
        finally:
            seconds = time.perf_counter() - began
            if seconds > QUICK_SECONDS or self._average > QUICK_SECONDS:
                self._measure(seconds, weight)

    def submit(self, verb: Callable[[], Any], done: Done, *, weight: int = 1) -> None:
        """Run `verb` and call `done(result, error)` on the loop: at once when inline, later when
        threaded. Verbs run in the order of submission.

        Args:
            weight: How many turns, or the like, the verb writes: more may take longer.
        """
        if self.is_inline:
            done(*self.run(weight, verb))
            return
        self._outstanding += 1
        self._ensure_thread()
        self._queue.put((verb, done, weight))

    async def call(self, verb: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Run a verb and wait for what it returns or raises."""
        if self.is_inline:
            return verb(*arguments, **options)
        future: asyncio.Future[T] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.submit(lambda: verb(*arguments, **options), done)
        return await future

    def run_now(self, verb: Callable[[], T]) -> T:
        """Run a verb after those that were submitted, and block until it is done."""
        if not self._outstanding:
            return verb()
        box: list[T] = []
        errors: list[BaseException] = []
        is_done = threading.Event()

        def work() -> None:
            try:
                box.append(verb())
            except BaseException as caught:  # noqa: BLE001 - raised below, in the caller
                errors.append(caught)
            finally:
                is_done.set()

        self._outstanding += 1
        self._ensure_thread()
        self._queue.put((work, lambda _result, _error: None, 1))
        is_done.wait()
        if errors:
            raise errors[0]
        return box[0]

    def close(self) -> None:
        """End the thread after what was submitted. The loop need not run any more."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _measure(self, seconds: float, weight: int) -> None:
        # What a batch costs for being large is work, and would be work in a thread, too: only what
        # a single write waits for is worth a thread.
        waited = max(seconds - weight * WORK_SECONDS, 0.0)
        self._average += (waited - self._average) * 0.3
        if not self._threaded and self._average > SLOW_SECONDS:
            logger.info(
                "store verbs take %.1f ms; they move off the event loop", self._average * 1000
            )
            self._threaded = True
        elif self._threaded and not self._shared and self._average < FAST_SECONDS:
            self._threaded = False

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="perdure-committer", daemon=True
            )
            self._thread.start()

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            if job is None:
                return
            verb, done, weight = job
            began = time.perf_counter()
            try:
                result, error = verb(), None
            except BaseException as caught:  # noqa: BLE001 - handed to `done`
                result, error = None, caught
            seconds = time.perf_counter() - began
            try:
                self._loop.call_soon_threadsafe(self._finish, done, result, error, seconds, weight)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

    def _finish(
        self,
        done: Done,
        result: Any,
        error: BaseException | None,
        seconds: float,
        weight: int,
    ) -> None:
        self._outstanding -= 1
        self._measure(seconds, weight)
        done(result, error)
