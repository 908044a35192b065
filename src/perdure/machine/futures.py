"""The handles, futures and tasks of the deterministic loop.

asyncio keeps futures and tasks in sets (`TaskGroup`, `wait`, `as_completed`), and a set is walked
in the order of its hashes. The hash of a plain future is its address, so the same body would
cancel, and collect, in another order in every process. Futures and tasks of this file therefore
hash by a number: a count of the machine, which starts at a place that depends on the TID alone
(many machines share asyncio's own set of all tasks, and must not crowd the same slots there).
The number is set before `__init__`, because asyncio files a task away while it is being made.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.machine.loop import Loop


class Handle(asyncio.Handle):
    """A callback that is ready to run."""

    __slots__ = ()
    _callback: Callable[..., object]
    _context: contextvars.Context

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Do not run the callback."""
        self._cancelled = True
        self._args = ()

    def __repr__(self) -> str:
        return f"<Handle {self._callback!r}>"


class TimerHandle(asyncio.TimerHandle):
    """A callback that waits for a durable timer (`ordinal`), or for none (None)."""

    __slots__ = ("loop", "ordinal")
    _callback: Callable[..., object]
    _context: contextvars.Context

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
        loop: Loop,
        when: float,
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False
        self._when = when
        self.loop = loop
        self.ordinal: int | None = None

    def cancel(self) -> None:
        """Do not run the callback, and let go of the timer."""
        self._cancelled = True
        self._args = ()
        ordinal = self.ordinal
        if ordinal is not None:
            self.ordinal = None
            self.loop.machine.withdraw(ordinal)

    def __repr__(self) -> str:
        return f"<TimerHandle {self._callback!r}>"


class Future(asyncio.Future[Any]):
    """A future that has the same hash wherever the body runs."""

    __slots__ = ("_number",)

    def __init__(self, loop: Loop) -> None:
        loop.number = self._number = loop.number + 1
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class Call(Future):
    """The outcome of a call (step or child): cancelling it withdraws the call."""

    __slots__ = ("ordinal",)

    def __init__(self, loop: Loop, ordinal: int) -> None:
        self.ordinal = ordinal
        loop.number = self._number = loop.number + 1
        super(Future, self).__init__(loop=loop)

    def cancel(self, msg: Any | None = None) -> bool:
        """Stop waiting for the call; False if its outcome is there already."""
        if not super().cancel(msg):
            return False
        loop: Any = self.get_loop()
        loop.machine.withdraw(self.ordinal)
        return True


class Task(asyncio.Task[Any]):
    """A task that has the same hash wherever the body runs, and knows its context."""

    __slots__ = ("_number", "context")

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        loop: Loop,
        name: str,
        context: contextvars.Context,
    ) -> None:
        loop.number = self._number = loop.number + 1
        self.context = context
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._number
