"""Where the bodies of async steps begin: one task for as many of them as never wait.

A task for every step, begun in the next iteration of the loop, costs more than all else that a
short step does. So bodies stand in line, and a task, the *runner*, begins one after the other. A
body that waits for something keeps the task in which it began, as it must (`asyncio.timeout` and
`TaskGroup` remember theirs), and another runner goes on with the line.

A body finds a task that nobody has left a trace in: a runner ends with a body that kept hold of it,
renamed or cancelled it, or changed its contextvars; and after a moment in any case, so that others
on the loop have their turn.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from sys import getrefcount
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar
from weakref import getweakrefcount

from perdure.author.context import HasContext, enter_here, is_entered

logger = logging.getLogger("perdure.engine")

BREATH_SECONDS = 0.002
"""Bodies begin one after the other for so long; then others on the loop have their turn."""


class Entry(HasContext, Protocol):
    """What stands in line: an attempt of a step."""

    is_over: bool
    task: asyncio.Task[None] | None


E = TypeVar("E", bound=Entry)
Body = Coroutine[Any, Any, None]


class Lane(Generic[E]):
    """A line of bodies, and the task that begins them.

    Args:
        loop: Where they run.
        body: Makes the body of (entry, args, kwargs) when it is about to begin.
        dropped: Called for an entry whose runner somebody else cancelled before it began.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        body: Callable[[E, Any, Any], Body],
        dropped: Callable[[E], None],
    ) -> None:
        self._loop = loop
        self._body = body
        self._dropped = dropped
        self._line: deque[tuple[E, Any, Any]] = deque()
        self._runner: asyncio.Task[None] | None = None
        # Every body starts from the contextvars of the worker's start: those of whoever happened
        # to wake the loop are none of its business.
        self._variables = copy_context()
        self._inherited = [(k, v) for k, v in self._variables.items() if not is_entered(k)]

    def add(self, entry: E, args: Any, kwargs: Any) -> None:
        """Begin a body soon, unless `entry.is_over` by then; `entry.task` is where it runs."""
        self._line.append((entry, args, kwargs))
        if self._runner is None:
            self._send_runner()

    def _send_runner(self) -> None:
        # Not by `loop.create_task`: an eager task factory would begin the bodies here and now,
        # before whoever added them is done.
        runner = asyncio.Task(self._run(), loop=self._loop, context=self._variables.copy())
        self._runner = runner
        runner.add_done_callback(self._ended, context=self._variables)

    async def _run(self) -> None:
        runner = self._runner
        assert runner is not None
        line = self._line
        name = runner.get_name()
        size = len(self._inherited) + 1  # `enter_here` sets one more
        until = monotonic() + BREATH_SECONDS
        while line:
            entry, args, kwargs = line.popleft()
            if entry.is_over:
                continue
            holders, watchers = getrefcount(runner), getweakrefcount(runner)
            entry.task = runner
            enter_here(entry)
            body = self._body(entry, args, kwargs)
            try:
                awaited = body.send(None)
            except StopIteration:
                pass
            else:
                self._go_on()
                await _rest_of(body, awaited)
                return
            entry.task = None
            if (
                runner.cancelling()
                or getattr(runner, "_must_cancel", False)  # cancelled, and that taken back
                or getrefcount(runner) > holders
                or getweakrefcount(runner) > watchers
                or runner.get_name() != name
                or len(copy_context()) != size
                or (self._inherited and self._has_other_variables())
                or monotonic() > until
            ):
                break
        self._go_on()

    def _has_other_variables(self) -> bool:
        """Whether one of the inherited contextvars was changed; by identity: what users keep in
        them may not even be comparable."""
        here = copy_context()
        return any(here.get(variable) is not value for variable, value in self._inherited)

    def _go_on(self) -> None:
        """Leave the line to another runner, if anybody stands in it."""
        self._runner = None
        if self._line:
            self._send_runner()

    def _ended(self, runner: asyncio.Task[None]) -> None:
        """A runner is done. It left the line to another one, unless it was cancelled before it
        began (by the end of the loop, as a rule)."""
        error = None if runner.cancelled() else runner.exception()
        if error is not None:
            logger.error("what begins steps failed: %r", error, exc_info=error)
        if self._runner is not runner:
            return
        if error is not None:
            self._go_on()
            return
        self._runner = None
        while self._line:
            self._dropped(self._line.popleft()[0])


@types.coroutine
def _rest_of(body: Body, awaited: Any) -> Generator[Any, Any, None]:
    """Go on with a body that has begun, and that waits for this."""
    while True:
        try:
            yield awaited
        except GeneratorExit:
            body.close()
            raise
        except BaseException as error:  # noqa: BLE001 - a cancellation, for the body
            try:
                awaited = body.throw(error)
            except StopIteration:
                return
        else:
            yield from body.__await__()
            return
