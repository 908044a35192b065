"""Recognising asyncio's own functions where the shapes of Perdure should have been called.

A module that imported `as_completed` or `wait_for` under another name before Perdure was imported
still calls the original. The loop recognises it by its code when it asks for a task or a timer,
and refuses: better one sentence than a run that another process cannot replay.
"""

# pyright: reportPrivateUsage=false
# sys._getframe is how a callee may ask who called it.

from __future__ import annotations

import asyncio.tasks
import sys
from types import CodeType, FrameType
from typing import Any

from perdure.core.errors import NotInWorkflow


def _code_of(*path: str) -> CodeType | None:
    found: Any = asyncio.tasks
    for name in path:
        found = getattr(found, name, None)
    return getattr(found, "__code__", None)


_ENSURE_FUTURE = {_code_of("ensure_future"), _code_of("_ensure_future")} - {None}
_AS_COMPLETED = {_code_of("as_completed"), _code_of("_AsCompletedIterator", "__init__")} - {None}
_WAIT_FOR = _code_of("wait_for")
_RELEASE_WAITER: Any = getattr(asyncio.tasks, "_release_waiter", None)

_DEPTH = 6
"""`as_completed` is at most so many frames above the loop."""


def refuse_for_task() -> None:
    """Raise if the original `as_completed` is about to start a coroutine."""
    caller = sys._getframe(2)
    if caller.f_code in _ENSURE_FUTURE and _is_under_as_completed(caller.f_back):
        raise _refusal("as_completed")


def _is_under_as_completed(frame: FrameType | None) -> bool:
    for _ in range(_DEPTH):
        if frame is None:
            return False
        if frame.f_code in _AS_COMPLETED:
            return True
        frame = frame.f_back
    return False


def refuse_for_timer(callback: object) -> None:
    """Raise if the original `wait_for`, in the shape before 3.12, is about to start its timer."""
    if callback is _RELEASE_WAITER and sys._getframe(3).f_code is _WAIT_FOR:
        raise _refusal("wait_for")


def _refusal(name: str) -> NotInWorkflow:
    return NotInWorkflow(
        f"asyncio.{name} was imported under another name before perdure was, and this original "
        f"cannot be replayed; write `asyncio.{name}(...)`, or import perdure first"
    )
