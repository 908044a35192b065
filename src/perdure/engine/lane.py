"""Where the bodies of async steps begin: one task for as many of them as never wait.

A task for every step, begun in the next iteration of the loop, costs more than all else that a
short step does. So bodies stand in line, and a task, the *runner*, begins one after the other. A
body that waits for something keeps the task in which it began, as it must (`asyncio.timeout` and
`TaskGroup` remember theirs), and another runner goes on with the line.

No body notices who had its task before: a runner ends with a body that changed its contextvars or
was cancelled. And it lets others on the loop have their turn.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from perdure.author.context import HasContext, enter_here

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
        self._variables = contextvars.copy_context()

    def add(self, entry: E, args: Any, kwargs: Any) -> None:
        """Begin a body soon, unless `entry.is_over` by then; `entry.task` is where it runs."""
        self._line.append((entry, args, kwargs))
        if self._runner is None:
            self._send_runner()

    def _send_runner(self) -> None:
        variables = self._variables.copy()
        run = self._run()
        if self._loop.get_task_factory() is None:
            runner = asyncio.Task(run, loop=self._loop, context=variables)
        else:
            runner = self._loop.create_task(run, context=variables)
        self._runner = runner
        runner.add_done_callback(self._ended, context=self._variables)

    async def _run(self) -> None:
        runner = self._runner
        assert runner is not None
        line = self._line
        until = monotonic() + BREATH_SECONDS
        while line:
            entry, args, kwargs = line.popleft()
            if entry.is_over:
                continue
            entry.task = runner
            enter_here(entry)
            variables = contextvars.copy_context()
            body = self._body(entry, args, kwargs)
            try:
                awaited = body.send(None)
            except StopIteration:
                pass
            else:
                self._go_on()
                await _rest_of(body, awaited)
                return
            if contextvars.copy_context() != variables or runner.cancelling():
                break
            if monotonic() > until:
                await asyncio.sleep(0)
                until = monotonic() + BREATH_SECONDS
        self._go_on()

    def _go_on(self) -> None:
        """Leave the line to another runner, if anybody stands in it."""
        self._runner = None
        if self._line:
            self._send_runner()

    def _ended(self, runner: asyncio.Task[None]) -> None:
        """A runner is done. One that did not leave the line to another was cancelled, before it
        began or between two bodies: by the end of the loop, as a rule."""
        if self._runner is runner:
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
