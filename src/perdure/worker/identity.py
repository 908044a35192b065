"""Who a process is, and when it is certain that another one is dead.

A dead worker's runs wait for the end of its lease, unless a process of the same host can prove the
death: then they are taken over at once. A wrong proof would take runs from a worker that lives, so
whatever is not certain counts as alive. Three traps decide the rules below:

- A pid alone proves nothing: it is reused, and it means another process in another PID namespace
  (a container). Boot id, namespace, pid and start time together name one process for ever.
- A pid that cannot be seen is not a pid that is gone: `/proc` may be mounted with `hidepid`, or for
  another namespace than ours. The kernel is asked as well (signal 0), and `/proc` is believed only
  if it shows this process under its own pid.
- Hosts of a fleet may have equal names ("localhost"), and then "same host, other boot" would be
  said of a machine that runs. So the host's name carries a fingerprint of its machine id.

Where there is no `/proc` the fields stay empty, and nothing is ever proven.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from hashlib import sha256

from perdure.store import WorkerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What names one process among all that ever were.

    Attributes:
        host: The host's name, with a fingerprint of its machine id where it has one.
        boot_id: Drawn by the kernel at each boot; "" if not known.
        pid_namespace: In which the pid means something, as "pid:[4026531836]"; "" if not known.
        pid: The process id.
        started: Its start, in clock ticks since boot; 0 if not known.
    """

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: int

    @classmethod
    def of_this_process(cls) -> Identity:
        """Read who the calling process is (about 0.1 ms; not kept, since a fork changes it)."""
        pid = os.getpid()
        stat = _stat(pid) if _proc_is_ours(pid) else None
        return cls(
            host=_host(),
            boot_id=_text("/proc/sys/kernel/random/boot_id") if stat else "",
            pid_namespace=_link("/proc/self/ns/pid") if stat else "",
            pid=pid,
            started=stat.started if stat else 0,
        )


def is_near(row: WorkerRow, here: Identity) -> bool:
    """Tell whether the death of a worker could be proven from this process, once it dies."""
    if not (row.host and row.boot_id and here.boot_id) or row.host != here.host:
        return False
    if row.boot_id != here.boot_id:
        return True
    if not row.pid_namespace or row.pid_namespace != here.pid_namespace:
        return False
    return row.pid > 0 and row.started > 0


def is_proven_dead(row: WorkerRow, here: Identity) -> bool:
    """Tell whether a worker is dead beyond doubt, as seen from this process.

    Args:
        row: The worker as it registered.
        here: `Identity.of_this_process()` of the caller.

    Returns:
        True if the machine was booted again since, or if the process is gone, is a zombie, or left
        its pid to a younger one. False if it lives, and whenever that cannot be known.
    """
    if not is_near(row, here):
        return False
    if row.boot_id != here.boot_id:
        return True
    stat = _stat(row.pid)
    if stat is None:
        return _is_gone(row.pid)
    return stat.started != row.started or stat.is_zombie


def is_proven_alive(row: WorkerRow, here: Identity) -> bool:
    """Tell whether the process of a worker runs on this host beyond doubt: its pid is its own."""
    return (
        is_near(row, here)
        and row.boot_id == here.boot_id
        and row.pid_namespace == here.pid_namespace
        and not is_proven_dead(row, here)
    )


@dataclass(frozen=True, slots=True)
class _Stat:
    """What `/proc/PID/stat` says."""

    started: int
    is_zombie: bool


def _stat(pid: int) -> _Stat | None:
    """What the kernel says of a process; None if it does not show one."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    return _parse_stat(line)


def _parse_stat(line: bytes) -> _Stat | None:
    """Read the fields after the command's name, which may itself hold spaces and parentheses."""
    fields = line[line.rfind(b")") + 1 :].split()
    try:
        state, threads, started = fields[0], int(fields[17]), int(fields[19])
    except (IndexError, ValueError):
        return None
    # A main thread that ended before its siblings is shown as a zombie, and the process lives.
    return _Stat(started, state in (b"Z", b"X", b"x") and threads <= 1)


def _is_gone(pid: int) -> bool:
    """Whether the kernel knows no such process (one that is only hidden from us is not gone)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _proc_is_ours(pid: int) -> bool:
    """Whether `/proc` is there and mounted for the PID namespace in which we live."""
    return _link("/proc/self") == str(pid)


def _host() -> str:
    """The host's name and, after a slash, a fingerprint of its machine id (itself a secret)."""
    machine = _text("/etc/machine-id")
    name = socket.gethostname()
    return f"{name}/{sha256(machine.encode()).hexdigest()[:8]}" if machine else name


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
