"""Notices a loop that is blocked, and says by whom."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from perdure.worker.hang import hang_of
from perdure.worker.pulse import Pulse, ticks

log = logging.getLogger("perdure.worker")


class Watchdog:
    """A thread that reports a loop blocked for too long: what ran on it, where, and how long.

    It reports once when a blockage has lasted `block_warning`, and once when it ends. Times count
    from the last beat, so they are as exact as the loop's beats are frequent. While the process is
    stopped or the machine asleep nobody blocks anything: this thread then stands still, too, and
    sees that it is late.

    Args:
        pulse: The heartbeat of the loop, four times as fast as `block_warning` or more.
        current: Says what runs on the loop, as "step charge() of run 17…"; "" for nothing that is
            known. Called in this thread while the loop is blocked: it may only read.
        block_warning: Seconds.
        thread: The loop's thread (`threading.get_ident()`); None: the one that makes this object.
    """

    def __init__(
        self,
        *,
        pulse: Pulse,
        current: Callable[[], str],
        block_warning: float = 2.0,
        thread: int | None = None,
    ) -> None:
        self._pulse = pulse
        self._current = current
        self._block_warning = block_warning
        # Longer than the loop's pause between two beats: some kernels let a sleep that was stopped
        # begin anew.
        self._last_look = block_warning * 3 / 8
        self._loop_thread = threading.get_ident() if thread is None else thread
        self._awake_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="perdure-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch; the loop must beat from now on."""
        self._pulse.beat()
        self._thread.start()

    def stop(self) -> None:
        """End the watch, and wait for the thread."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    # --- the thread --------------------------------------------------------------------------

    def _watch(self) -> None:
        excused = self._pulse.last
        while True:
            # Wait until the last known beat is too old, so that a loop that beats costs nothing.
            beat = self._pulse.last
            due = max(beat, excused) + self._block_warning - self._last_look
            if self._stop.wait(max(due - ticks(), 0.0)):
                return
            if self._pulse.last != beat:
                continue
            if ticks() - due > self._block_warning:
                # This thread could not run either, so there is no stack to show; a loop that is
                # still silent after a full period is reported as any other.
                self._report_standstill(ticks() - beat)
                excused = ticks()
                continue
            stood = self._look_again(beat)
            if stood is None:
                continue
            what = self._what()
            self._report(what)
            stood += self._wait_for_beat(beat)
            if self._stop.is_set():
                return
            length = self._pulse.last - beat - stood
            log.warning("the loop turns again; %s blocked it for %.1f s", what, length)

    def _look_again(self, beat: float) -> float | None:
        """Give a loop that was silent the time for one beat, since it may have been stopped with
        the whole process, and be continued just now: a beat then comes at once.

        Returns:
            The seconds for which the process stood still meanwhile; None: the loop turns.
        """
        stood = 0.0
        self._awake_at = ticks()
        while True:
            late = self._sleep(self._last_look)
            if self._pulse.last != beat or self._stop.is_set():
                return None
            if late <= self._last_look / 2:
                return stood
            stood += late

    def _report(self, what: str) -> None:
        log.warning(
            "the loop is blocked for over %g s by %s; all else in this process waits meanwhile."
            " Await what takes long, or make it a plain `def` function, which runs in a thread.\n"
            "%s",
            self._block_warning,
            what,
            hang_of(self._loop_thread).stack,
        )

    def _wait_for_beat(self, beat: float) -> float:
        """Wait until the loop turns again, or the watch ends; returns for how many seconds the
        process stood still meanwhile."""
        pause = self._block_warning / 20
        stood = 0.0
        while True:
            # Also if the loop turns already: the process may have been stopped in the report.
            late = self._sleep(pause)
            if late > pause:
                stood += late
            if self._pulse.last != beat or self._stop.is_set():
                return stood

    def _sleep(self, seconds: float) -> float:
        """Wait, and return how much longer than asked that took, since this thread last looked."""
        self._stop.wait(seconds)
        before, self._awake_at = self._awake_at, ticks()
        return self._awake_at - before - seconds

    def _report_standstill(self, seconds: float) -> None:
        log.warning(
            "the whole process stood still for %.1f s (stopped, the host asleep, or C code that"
            " kept the interpreter); on its loop: %s",
            seconds,
            self._what(),
        )

    def _what(self) -> str:
        try:
            return self._current() or "something that is not a step"
        except Exception as error:  # noqa: BLE001 - a wrong name must not end the watch
            return f"something that cannot be named ({type(error).__name__}: {error})"
