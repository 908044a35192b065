"""SIGTERM and SIGINT for a worker: the first asks it to end in good order, the second insists.

The handler itself only counts and tells the loop. It is a plain signal handler rather than the
loop's own: those run when the loop comes round, and a loop that is blocked could then not be ended
at all. Here a second signal that the loop does not hear is told to a thread, and a third one finds
the default in force again, and ends the process.

Before and after that time there is nothing to drain, and a stop signal raises `Stopped`, wherever the
main thread is (`EndAtOnce`). A process that starts afresh in itself (exec) holds the signals that
come on the way (`hold`), and finds them when it is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Self

log = logging.getLogger("perdure.worker")

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_Handler = signal.Handlers | int | Callable[..., object]

DEAF_SECONDS = 2.0
"""A loop that has not heard the second signal for so long hears nothing."""


class Stopped(BaseException):
    """A stop signal came while there was nothing to drain.

    No SystemExit: a module that is being imported may raise that by itself, and is broken then.
    """


class EndAtOnce:
    """While it is entered, a stop signal raises `Stopped` (main thread only); those that were held
    across an exec are heard now."""

    def __init__(self) -> None:
        self._previous: list[tuple[signal.Signals, _Handler]] = []

    def __enter__(self) -> Self:
        self._previous = [(number, _install(number, self._end)) for number in SIGNALS]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)

    @staticmethod
    def _end(number: int, frame: FrameType | None) -> None:
        raise Stopped


def hold() -> None:
    """Keep stop signals from here on, for whom this process becomes by exec."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _install(number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> _Handler:
    previous = signal.signal(number, handler)
    # None: a handler that C code installed, which Python cannot put back.
    return signal.SIG_DFL if previous is None else previous


class StopSignals:
    """Turns stop signals into calls on a loop, while it is entered (main thread only).

    Used by a process that is a worker and nothing else; a hosted worker leaves the signals to its
    host.

    Args:
        loop: On which the callbacks run.
        drain: Called at the first signal: finish or hand back what runs, and end.
        force: Called at the second: end now. A third one kills the process.
        deaf: Called in another thread if the loop does not hear the second one; it may end the
            process.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        drain: Callable[[], object],
        force: Callable[[], object],
        deaf: Callable[[], object] = lambda: None,
    ) -> None:
        self._loop = loop
        self._drain = drain
        self._force = force
        self._deaf = deaf
        self._count = 0
        # A handler interrupts whatever runs, so it must not wait for a lock; this queue has none.
        self._insisted: SimpleQueue[bool] = SimpleQueue()
        self._is_heard = threading.Event()
        self._listening: threading.Thread | None = None
        self._previous: dict[signal.Signals, _Handler] = {}
        self._ear: socket.socket | None = None
        self._mouth: socket.socket | None = None
        self._previous_wakeup = -1

    @property
    def is_told(self) -> bool:
        """Whether a signal has come, heard by the loop or not."""
        return self._count > 0

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "stop signals can be handled in the main thread only, this is"
                f" {threading.current_thread().name!r}; leave them to the process that hosts this"
                " worker"
            )
        # A signal that arrives just before the loop goes to sleep runs its handler only when the
        # loop wakes. The byte that the interpreter writes into this socket wakes it.
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        self._loop.add_reader(self._ear, self._hear)
        self._previous_wakeup = signal.set_wakeup_fd(
            self._mouth.fileno(), warn_on_full_buffer=False
        )
        self._listening = threading.Thread(
            target=self._listen, name="perdure-stop-signals", daemon=True
        )
        self._listening.start()
        for number in SIGNALS:
            self._previous[number] = _install(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
        signal.set_wakeup_fd(self._previous_wakeup, warn_on_full_buffer=False)
        if self._ear is not None and self._mouth is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._ear)
            self._ear.close()
            self._mouth.close()
        self._ear = self._mouth = None
        self._is_heard.set()
        self._insisted.put(False)
        if self._listening is not None:
            self._listening.join()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            for each in SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            self._insisted.put(True)
        with contextlib.suppress(RuntimeError):  # the loop was closed: the worker has ended
            self._loop.call_soon_threadsafe(self._tell, self._count, signal.Signals(number).name)

    def _tell(self, count: int, name: str) -> None:
        if count == 1:
            log.info("%s: finishing what runs; a second signal ends it at once", name)
            self._drain()
        else:
            self._is_heard.set()
            log.warning("%s again: ending at once", name)
            self._force()

    def _listen(self) -> None:
        """Wait for the second signal, or for the end; whether the loop hears it (a thread)."""
        if self._insisted.get() and not self._is_heard.wait(DEAF_SECONDS):
            self._deaf()

    def _hear(self) -> None:
        if self._ear is not None:
            with contextlib.suppress(BlockingIOError):
                self._ear.recv(4096)
