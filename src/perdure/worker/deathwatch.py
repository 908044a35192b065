"""Notices at once, and at no cost while they live, that other workers of this host died.

The kernel gives a descriptor for a process that becomes readable when the process ends (pidfd). All
of them are gathered behind one descriptor, so a loop adds one reader and asks `dead()` when it
fires. Where there are no pidfds, `dead()` proves what it can by looking: ask it now and then.

A pid may have passed to a younger process before its descriptor was opened. So the proof comes
after the opening: what is not dead then is the process that the descriptor means.
"""

from __future__ import annotations

import os
import select
import sys

from perdure.store import WorkerRow
from perdure.worker.identity import Identity, is_near, is_proven_dead


class DeathWatch:
    """Watches workers of this host for their death.

    Args:
        here: Who the watching process is; None: this process.
    """

    def __init__(self, here: Identity | None = None) -> None:
        self._here = Identity.of_this_process() if here is None else here
        self._rows: dict[int, WorkerRow] = {}
        self._pidfds: dict[int, int] = {}
        self._gathered = _Gathered()
        self._dead_already: set[int] = set()

    @property
    def watched(self) -> frozenset[int]:
        """The ids of the workers that are watched, until they are forgotten or told as dead."""
        return frozenset(self._rows)

    def fileno(self) -> int:
        """A descriptor that is readable when `dead()` has something new to tell.

        It stays silent for those workers that can only be watched by asking.
        """
        return self._gathered.fileno()

    def watch(self, row: WorkerRow) -> bool:
        """Watch a worker; again is fine.

        Returns:
            Whether its death can be proven from here. False for a worker of another host (or
            container), which is then not watched, and for the process that watches.
        """
        if row.id in self._rows:
            return True
        here = self._here
        if not is_near(row, here) or (row.pid, row.started) == (here.pid, here.started):
            return False
        self._rows[row.id] = row
        pidfd = _pidfd(row)
        if pidfd is not None:
            self._pidfds[row.id] = pidfd
            self._gathered.add(pidfd)
        if is_proven_dead(row, self._here):
            self._dead_already.add(row.id)
            self._gathered.ring()
        return True

    def forget(self, worker: int) -> None:
        """Watch this worker no longer; an unknown one is fine."""
        self._rows.pop(worker, None)
        self._dead_already.discard(worker)
        pidfd = self._pidfds.pop(worker, None)
        if pidfd is not None:
            self._gathered.remove(pidfd)
            os.close(pidfd)

    def dead(self) -> list[int]:
        """The watched workers that are proven dead; each is told once, and then forgotten."""
        ended = self._gathered.ready()
        found = [
            worker
            for worker, row in self._rows.items()
            if worker in self._dead_already
            or self._pidfds.get(worker) in ended
            or (worker not in self._pidfds and is_proven_dead(row, self._here))
        ]
        for worker in found:
            self.forget(worker)
        return found

    def close(self) -> None:
        """Forget everybody and close all descriptors; twice is fine."""
        for worker in list(self._rows):
            self.forget(worker)
        self._gathered.close()


def _pidfd(row: WorkerRow) -> int | None:
    """A descriptor of the process that now has this worker's pid; None if there is none to have."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(row.pid)
    except OSError:
        return None  # gone, out of descriptors, or a sandbox without pidfds: proven by looking


class _Gathered:
    """Many descriptors behind one: an epoll, and a bell to ring by hand."""

    def __init__(self) -> None:
        self._bell, self._rope = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._rope, False)
        self._epoll = None
        if sys.platform == "linux":
            self._epoll = select.epoll()
            self._epoll.register(self._bell, select.EPOLLIN)

    def fileno(self) -> int:
        return self._bell if self._epoll is None else self._epoll.fileno()

    def add(self, fd: int) -> None:
        if self._epoll is not None:
            self._epoll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        if self._epoll is not None:
            self._epoll.unregister(fd)

    def ring(self) -> None:
        try:
            os.write(self._rope, b"!")
        except BlockingIOError:
            pass  # it is ringing

    def ready(self) -> set[int]:
        """The descriptors that are readable; the bell is quiet afterwards."""
        try:
            os.read(self._bell, 4096)
        except BlockingIOError:
            pass
        if self._epoll is None:
            return set()
        return {fd for fd, _ in self._epoll.poll(0)}

    def close(self) -> None:
        if self._epoll is not None:
            self._epoll.close()
        if self._bell >= 0:
            os.close(self._bell)
            os.close(self._rope)
            self._bell = self._rope = -1
