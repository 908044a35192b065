"""The lock that makes one process the background worker of its project.

The kernel holds the lock, so it ends with its holder, however that ends. The content of the file is
for people only. Four things to know before changing this file:

- The lock belongs to the *open file*, not to the process: a forked child holds it too. A child of
  `os.fork` closes its copy (the hook at the end of this file), a child of `exec` never gets one
  (CLOEXEC). Without that, a grandchild could keep a dead worker's lock.
- The same property lets a lock be **handed over**: whoever starts the background worker takes the
  lock first and gives the open file to the child (`hand_over`), which finds it in its environment
  and keeps it. So a worker holds its lock from birth, two are never started at once, and a child
  that dies on the way lets go by dying.
- Asking must not take the lock, not even for a moment: somebody who acquires it just then would be
  turned away, and a project would be without its worker. Linux can be asked (OFD locks); elsewhere
  `flock` is all there is, asking takes a shared lock, and an acquirer tries twice.
- Somebody may delete the file (`rm -rf .perdure`): then the lock is held on a file that nobody
  finds. `try_acquire` looks again after locking; a holder asks `is_held_here` now and then.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import time
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

VARIABLE = "PERDURE_WORKER_LOCK_FD"
"""In the environment of a worker to which the lock was handed over: the descriptor."""

_every_lock: weakref.WeakSet[LeaderLock] = weakref.WeakSet()


class LeaderLock:
    """A lock that one process holds at most, and only as long as it lives.

    Args:
        path: The file to lock; made where it is missing (its folder is, too).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        _every_lock.add(self)

    @property
    def is_held_here(self) -> bool:
        """Whether this object holds the lock, on the file that the path still names."""
        return self._fd is not None and self._names(self._fd)

    def try_acquire(self, *, worker: int | None = None) -> bool:
        """Take the lock if it was handed over to this process, or is free; never waits for it.

        Args:
            worker: The worker's id, written into the file for people.

        Returns:
            Whether it is held now (True also if it was held before).
        """
        if self._fd is None:
            self._fd = self._adopt()
        if not self.take():
            return False
        self.sign(pid=os.getpid(), worker=worker)
        return True

    def take(self) -> bool:
        """Take the lock only if it is free, also in a process to which it was handed over."""
        if self._fd is None:
            self._fd = self._lock()
            self.sign(pid=os.getpid())
        return self._fd is not None

    def sign(self, *, pid: int, worker: int | None = None) -> None:
        """Write who holds the lock into the file; nothing if it is not held here."""
        if self._fd is None:
            return
        about = {
            "pid": pid,
            "worker": None if worker is None else str(worker),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        text = json.dumps(about).encode() + b"\n"
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its label
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))

    def holder(self) -> dict[str, object] | None:
        """Who holds the lock: what it wrote about itself, {} if not readable; None if it is free.

        It is the holder's own word, for people: whether the lock is held is certain.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return _about(fd) if _is_locked(fd) else None
        finally:
            os.close(fd)

    def release(self) -> None:
        """Let go; twice is fine. The file stays, since deleting it could delete another's lock."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
        # Unlocked outright: a child that is between fork and exec still has the open file.
        _unlock(fd)
        os.close(fd)

    # --- handing over ------------------------------------------------------------------------

    @property
    def fd(self) -> int:
        """The descriptor that carries the lock, to be given to a child; -1 if not held here."""
        return -1 if self._fd is None else self._fd

    def hand_over(self, pid: int) -> None:
        """Leave the lock to a child that inherited `fd` and has its number in `VARIABLE`."""
        if self._fd is not None and _about(self._fd).get("pid") == os.getpid():
            self.sign(pid=pid)  # unless the child was quicker and signed itself
        self.forget()

    def forget(self) -> None:
        """Close the file without unlocking it: whoever else has the open file keeps the lock."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _adopt(self) -> int | None:
        """The descriptor that was handed over to this process, if it carries this lock."""
        number = os.environ.pop(VARIABLE, "")
        if not number.isdecimal():
            return None
        fd = int(number)
        try:
            if not self._names(fd) or not _try_lock(fd):
                return None
            os.set_inheritable(fd, False)
        except OSError:
            return None
        return fd

    # --- locking -----------------------------------------------------------------------------

    def _lock(self) -> int | None:
        """Open and lock the file that the path names; None if somebody else has it locked."""
        while True:
            fd = self._open()
            if not _try_lock(fd):
                os.close(fd)
                return None
            if self._names(fd):
                return fd
            os.close(fd)  # deleted between opening and locking: lock the new file instead

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, 0o644)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, flags, 0o644)

    def _names(self, fd: int) -> bool:
        """Whether the path names the very file that is open as `fd`."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(fd))
        except OSError:
            return False


if hasattr(fcntl, "F_OFD_SETLK"):

    def _lock_of_whole_file(kind: int) -> bytes:
        """The kernel's `struct flock`: kind, whence, start, length (0: to the end), no pid."""
        return struct.pack("hhqqi0q", kind, os.SEEK_SET, 0, 0, 0)

    def _try_lock(fd: int) -> bool:
        """Lock without waiting; False if another open file has it locked."""
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _lock_of_whole_file(fcntl.F_WRLCK))
        except (BlockingIOError, PermissionError):  # systems differ in which of the two
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _lock_of_whole_file(fcntl.F_UNLCK))

    def _is_locked(fd: int) -> bool:
        """Whether another open file has it locked; takes nothing."""
        asked = _lock_of_whole_file(fcntl.F_WRLCK)
        (kind,) = struct.unpack_from("h", fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))
        return bool(kind != fcntl.F_UNLCK)

else:

    def _try_lock(fd: int) -> bool:
        """Lock without waiting; False if another open file has it locked."""
        if not _flock(fd, fcntl.LOCK_EX):
            time.sleep(0.001)  # it may be somebody who only asks
            return _flock(fd, fcntl.LOCK_EX)
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)

    def _is_locked(fd: int) -> bool:
        """Whether another open file has it locked; the caller closes this one at once."""
        return not _flock(fd, fcntl.LOCK_SH)

    def _flock(fd: int, how: int) -> bool:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _about(fd: int) -> dict[str, object]:
    """What a lock file says, or {}: it may be read in the middle of being written."""
    try:
        about = json.loads(os.pread(fd, 4096, 0))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, object]", about) if isinstance(about, dict) else {}


def _close_in_child() -> None:
    """A forked child lets go of the open files, or it would hold its parent's locks."""
    for lock in list(_every_lock):
        lock.forget()


os.register_at_fork(after_in_child=_close_in_child)
