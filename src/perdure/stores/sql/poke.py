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
        self._own: list[str] = []

    def poke(self) -> None:
        """Send one byte to every listener but one's own; never blocks, never raises."""
        with suppress(OSError):
            for path in self._listening():
                self._send(path)

    def listen(self) -> SocketListener:
        """Bind a socket of one's own."""
        folder = self._folder_of_sockets()
        listener = SocketListener(os.path.join(folder, f"{os.getpid()}-{next(_numbers)}.sock"))
        self._own.append(listener.path)
        self._listed_at = -1
        return listener

    def close(self) -> None:
        """Let go of the sending socket."""
        if self._mouth is not None:
            self._mouth.close()
            self._mouth = None

    def _listening(self) -> list[str]:
        folder = self._folder or self._folder_of_sockets()
        changed_at = os.stat(folder).st_mtime_ns
        if changed_at != self._listed_at:
            paths = [os.path.join(folder, name) for name in os.listdir(folder)]
            self._targets = [p for p in paths if p.endswith(".sock") and p not in self._own]
            self._listed_at = changed_at if time.time_ns() - changed_at > _GRAIN else -1
        return self._targets

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

    def _folder_of_sockets(self) -> str:
        beside = self._database + "-pokes"
        if len(os.fsencode(beside)) + _NAME_ROOM <= _LONGEST_PATH and _is_ours(beside):
            self._folder = beside
        else:
            self._folder = _folder_elsewhere(self._database)
        return self._folder


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
        self._socket.close()


def _is_ours(folder: str) -> bool:
    """Make the folder; whether it is there, is a folder, and belongs to this user."""
    with suppress(FileExistsError):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            raise
        except OSError:
            return False
    found = os.lstat(folder)
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and os.access(folder, os.W_OK | os.X_OK)
    )


def _folder_elsewhere(database: str) -> str:
    """A short folder that all processes of this user derive from the database's path."""
    import hashlib
    import tempfile

    digest = hashlib.sha256(os.fsencode(database)).hexdigest()[:16]
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):
        folder = os.path.join(base, f"perdure-{os.geteuid()}-{digest}")
        fits = len(os.fsencode(folder)) + _NAME_ROOM <= _LONGEST_PATH
        if base and fits and _is_ours(folder):
            return folder
    raise OSError(f"no folder for the sockets of {database!r} could be made")
