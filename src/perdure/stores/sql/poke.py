"""Waking other processes: datagram sockets in a folder beside the database.

Who listens binds a socket there; who pokes sends one byte to every socket but its own. A poke is
best effort: a full socket has been poked already, a dead one is swept away, and whatever else
goes wrong costs its receiver only the time until it looks by itself.

The folder is `<database>-pokes`. Where that path is too long for a socket, or nothing can be made
there, it is a folder of the user's own under $XDG_RUNTIME_DIR or the temporary folder, named by
the hash of the database's path, so that all processes of the user find the same one.
"""

from __future__ import annotations

import itertools
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_LONGEST_PATH = 100
"""A socket's path has at most 107 bytes on Linux and 103 on macOS."""
_NAME_ROOM = len("/4194304-999999.sock")
_GRAIN = 50_000_000
"""A folder's mtime (ns) that is younger than this may hide a later change: clocks tick coarsely."""
_YOUNG = 2.0
"""A refusing socket that is younger than this (seconds) may be one that is being made."""

_numbers = itertools.count()


class Pokes:
    """Pokes by way of the folder that belongs to a database file."""

    def __init__(self, database: str) -> None:
        self._database = os.path.realpath(database)
        self._folder = ""
        self._mouth: socket.socket | None = None
        self._listed_at = -1
        self._targets: list[str] = []
        self._own: set[str] = set()

    def poke(self) -> None:
        """Send one byte to every listener but one's own; never blocks, never raises."""
        with suppress(OSError):
            for path in self._listening():
                self._send(path)

    def listen(self) -> SocketListener:
        """Bind a socket of one's own, in a folder that is made if it is not there."""
        name = f"{os.getpid()}-{next(_numbers)}.sock"
        folder = _folder_of(self._database)
        if not _is_ours(folder):
            folder = _folder_elsewhere(self._database)
        for _ in range(10):  # whoever stops listening removes an empty folder
            with suppress(FileNotFoundError):
                if not _is_ours(folder):
                    break
                listener = SocketListener(os.path.join(folder, name))
                self._own.add(listener.path)
                self._listed_at = -1
                return listener
        raise PermissionError(f"the folder {folder} cannot be used by this user")

    def close(self) -> None:
        """Let go of the sending socket."""
        if self._mouth is not None:
            self._mouth.close()
            self._mouth = None

    def _listening(self) -> list[str]:
        self._folder = self._folder or _folder_of(self._database)
        try:
            found = os.lstat(self._folder)
        except FileNotFoundError:  # nobody listens
            self._listed_at = -1
            return []
        if found.st_mtime_ns != self._listed_at:
            self._list(found)
        return self._targets

    def _list(self, found: os.stat_result) -> None:
        self._targets = []
        if stat.S_ISDIR(found.st_mode):
            paths = [os.path.join(self._folder, name) for name in os.listdir(self._folder)]
            self._targets = [p for p in paths if p.endswith(".sock") and p not in self._own]
        is_settled = time.time_ns() - found.st_mtime_ns > _GRAIN
        self._listed_at = found.st_mtime_ns if is_settled else -1

    def _send(self, path: str) -> None:
        if self._mouth is None:
            import socket

            self._mouth = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._mouth.setblocking(False)
        try:
            self._mouth.sendto(b"!", path)
        except ConnectionRefusedError:
            with suppress(OSError):
                if time.time() - os.stat(path).st_mtime > _YOUNG:
                    os.unlink(path)
        except OSError:
            return


class SocketListener:
    """An ear for the pokes of all processes: a datagram socket bound to a path."""

    def __init__(self, path: str) -> None:
        import socket

        self.path = path
        self._pid = os.getpid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with suppress(FileNotFoundError):  # left by a dead process that had our pid
            os.unlink(path)
        self._socket.bind(path)

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(16)

    def close(self) -> None:
        if self._socket.fileno() != -1 and self._pid == os.getpid():
            with suppress(OSError):
                os.unlink(self.path)
                os.rmdir(os.path.dirname(self.path))  # only if nobody else listens there
        self._socket.close()


def _folder_of(database: str) -> str:
    """Where the sockets of a database are."""
    beside = database + "-pokes"
    return beside if _fits(beside) else _folder_elsewhere(database)


def _folder_elsewhere(database: str) -> str:
    """A short folder that all processes of this user derive from the database's path."""
    import hashlib
    import tempfile

    digest = hashlib.sha256(os.fsencode(database)).hexdigest()[:16]
    name = f"perdure-{os.geteuid()}-{digest}"
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()):
        if base and os.path.isdir(base) and _fits(os.path.join(base, name)):
            return os.path.join(base, name)
    return os.path.join("/tmp", name)  # noqa: S108 - owner and mode are checked before it is used


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) + _NAME_ROOM <= _LONGEST_PATH


def _is_ours(folder: str) -> bool:
    """Make the folder if it is not there; whether this user can keep sockets in it."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    found = os.lstat(folder)
    is_owner = found.st_uid == os.geteuid()
    return stat.S_ISDIR(found.st_mode) and is_owner and os.access(folder, os.W_OK | os.X_OK)
