"""The TIDs that this process makes: strictly growing, whoever asks."""

from __future__ import annotations

import os
import secrets
import threading

from perdure.core.ids import next_tid

_lock = threading.Lock()
_last = 0
_salt = secrets.randbits(10)


def make_tid(now: int) -> int:
    """A TID that this process has not made before.

    Args:
        now: Store time (µs).
    """
    global _last
    with _lock:
        _last = next_tid(_last, now, _salt)
        return _last


def _after_fork() -> None:
    global _lock, _salt
    _lock = threading.Lock()
    _salt = secrets.randbits(10)


os.register_at_fork(after_in_child=_after_fork)
