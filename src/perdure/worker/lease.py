"""A worker's lease: kept by a thread, believed only as long as this process can be sure of it.

The row in the store says until when others leave the worker's runs alone. What the worker itself
may believe is less, and is decided here by the clock of this machine alone:

- The deadline counts from *before* the call that renewed, so it is never later than the row's.
- The clock goes on while the process is stopped (SIGSTOP) or the host is asleep: a worker that is
  continued sees that its lease is over before it does anything.
- The thread renews only for a loop that turns. One that is wedged loses its runs to others, which
  is the point of a lease; it gets its lease back when it turns again and nobody took over. Whoever
  owns the process may want to know when it has come so far (`hung`): nobody else would end it.
- A store that cannot be reached is tried again and again, also past the deadline: if nobody buried
  the worker in the meantime, it goes on.
- A `False` from the store is the end: the worker was buried. It is never renewed again.

The thread has a store, and so a connection, of its own: nothing that the loop or a slow commit does
can hold up a renewal.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from perdure.core.errors import StoreUnavailable, StoreUnusable
from perdure.worker.pulse import Pulse, ticks

log = logging.getLogger("perdure.worker")

_RETRY_AFTER = 0.25
"""Seconds between tries while the store is unavailable or the loop is wedged, at most."""


class Renewable(Protocol):
    """The part of a store that keeps a lease."""

    def now(self) -> int:
        """Store time in µs."""
        ...

    def renew(self, worker: int, lease_until: int) -> bool:
        """Prolong a lease; False: the worker was buried."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


class Lease:
    """Keeps a worker's lease alive, and knows whether it still holds.

    Make it *before* the worker is registered: its first deadline counts from then.

    Args:
        worker: The worker's id.
        ttl: For how many seconds each renewal prolongs the lease.
        open_store: Opens the store that the thread renews through; called in the thread.
        lost: Called once, in the thread, with the reason, when the lease is gone for good.
        name: The worker's name, for the log.
        pulse: The loop's heartbeat; one of its own where none is given.
        wedge_limit: Seconds of silence after which the loop counts as wedged; None: the ttl.
        hung: Called in the thread, again and again, while the loop is wedged and the lease is over.
    """

    def __init__(
        self,
        *,
        worker: int,
        ttl: float,
        open_store: Callable[[], Renewable],
        lost: Callable[[str], object],
        name: str = "",
        pulse: Pulse | None = None,
        wedge_limit: float | None = None,
        hung: Callable[[], object] | None = None,
    ) -> None:
        self.ttl = ttl
        self.pulse = Pulse() if pulse is None else pulse
        self._worker = worker
        self._name = name or str(worker)
        self._open_store = open_store
        self._lost = lost
        self._wedge_limit = ttl if wedge_limit is None else wedge_limit
        self._hung = hung
        self._silent_looks = 0
        self._deadline = ticks() + ttl
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="perdure-lease", daemon=True)
        self._store: Renewable | None = None
        self._trouble = ""

    def start(self) -> None:
        """Begin to renew; called once, after the worker was registered."""
        self._thread.start()

    def stop(self, timeout: float | None = 5.0) -> None:
        """End the renewals and wait for the thread; the lease then runs out, or is retired.

        Args:
            timeout: Seconds to wait for a renewal that is under way; None: as long as it takes.
        """
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def beat(self) -> None:
        """Say that the loop turns; called by the loop at least once a second."""
        self.pulse.beat()

    def valid(self) -> bool:
        """Whether the lease certainly holds at this moment (0.1 us; from any thread)."""
        return ticks() < self._deadline

    def remaining(self) -> float:
        """Seconds for which the lease certainly holds; 0 or less: it may be over."""
        return self._deadline - ticks()

    # --- the thread --------------------------------------------------------------------------

    def _keep(self) -> None:
        interval = self.ttl / 3
        pause = interval
        excused = self.pulse.last
        try:
            while True:
                asleep_since = ticks()
                if self._stop.wait(pause):
                    return
                overslept = ticks() - asleep_since - pause
                if overslept > interval:
                    # Not only the loop stood still but this thread too: it is not held against
                    # the loop, which gets its time to beat again.
                    self._note_standstill(overslept)
                    excused = ticks()
                pause = self._attend(excused, interval)
                if pause < 0:
                    return
        finally:
            self._close()

    def _attend(self, excused: float, interval: float) -> float:
        """Renew if all is well; returns seconds until the next look, below 0 when all is over."""
        short = min(interval, _RETRY_AFTER)
        silence = ticks() - max(self.pulse.last, excused)
        if silence > self._wedge_limit:
            self._note(
                "wedged",
                f"its loop has not turned for {silence:.1f} s; the lease is not renewed until it"
                " does, and others may take over its runs",
            )
            self._tell_hung(interval)
            return short
        self._silent_looks = 0
        try:
            if not self._renew():
                return -1.0
            # Counted from before the call too: after a slow one, the next is due sooner.
            return max(self.remaining() - self.ttl + interval, 0.0)
        except StoreUnusable as error:
            self._end(f"the store cannot be used any more: {error}")
            return -1.0
        except StoreUnavailable as error:
            if self.valid():
                self._note("unavailable", f"its lease cannot be renewed, trying again: {error}")
            else:
                self._note(
                    "expired",
                    "its lease is over and cannot be renewed; it starts nothing until that"
                    f" succeeds: {error}",
                )
        except Exception:
            if self._trouble != "unexpected":
                log.exception("worker %s: its lease could not be renewed", self._name)
            self._trouble = "unexpected"
        self._close()
        return short

    def _tell_hung(self, interval: float) -> None:
        """Say that the loop hangs, once it was seen silent for long by a thread that was awake.

        Looks are counted, not seconds: after a standstill of the whole process both the lease and
        the last beat are old, and the loop is as alive as this thread.
        """
        self._silent_looks += 1
        seen = self._silent_looks * min(interval, _RETRY_AFTER)
        if self._hung is None or self.valid() or seen < interval:
            return
        try:
            self._hung()
        except Exception:
            log.exception("worker %s: nobody could be told that its loop hangs", self._name)

    def _renew(self) -> bool:
        if self._store is None:
            self._store = self._open_store()
        before = ticks()
        if not self._store.renew(self._worker, self._store.now() + int(self.ttl * 1_000_000)):
            self._end("its lease ended and another worker took over its runs")
            return False
        self._deadline = before + self.ttl
        if self._trouble:
            log.warning("worker %s: its lease is renewed again", self._name)
            self._trouble = ""
        return True

    def _end(self, reason: str) -> None:
        self._deadline = float("-inf")
        log.error("worker %s: %s", self._name, reason)
        try:
            self._lost(reason)
        except Exception:
            log.exception("worker %s: it could not be told that its lease is lost", self._name)

    def _note(self, trouble: str, message: str) -> None:
        """Log a trouble once, until it is over."""
        if self._trouble != trouble:
            log.warning("worker %s: %s", self._name, message)
            self._trouble = trouble

    def _note_standstill(self, seconds: float) -> None:
        log.warning(
            "worker %s: the whole process stood still for %.1f s (stopped, the host asleep, or"
            " C code that kept the interpreter)",
            self._name,
            seconds,
        )

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with contextlib.suppress(Exception):
                store.close()
