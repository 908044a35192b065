"""The deterministic event loop: asyncio's face of a machine.

A workflow body sees an ordinary running event loop. This one has no selector and no clock: ready
callbacks run in the order in which they became ready, timers are calls of the machine (durable,
with an ordinal each), and time stands still while the body runs. `Loop` keeps the queue and what
asyncio asks of a loop; what a call, a timer or an ending means is told by `Machine`.
"""

# pyright: reportPrivateUsage=false
# Handles keep asyncio's own (private) names for what they hold.

from __future__ import annotations

import asyncio
import contextvars
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple

from perdure.core.errors import NotInWorkflow, UsageError
from perdure.machine.futures import Future, Handle, Task, TimerHandle
from perdure.machine.originals import refuse_for_task, refuse_for_timer
from perdure.machine.refusals import Refusals

if TYPE_CHECKING:
    from perdure.machine.machine import Machine

_Ts = TypeVarTuple("_Ts")

FOREVER_SECONDS = 3e11
"""A delay from here on (9,500 years, or infinity) is no timer at all: it never fires."""

_MASK = (1 << 61) - 1
_MIX = 0x9E3779B97F4A7C15


def micros(seconds: float) -> int:
    """A positive delay in whole µs, rounded up: never early (floats are forgiven 0.05 µs)."""
    if isinstance(seconds, int):
        return seconds * 1_000_000
    return max(1, math.ceil(seconds * 1e6 - 0.05))


class Loop(Refusals):
    """The event loop that a workflow body runs on.

    Attributes:
        machine: Whose loop this is.
        ready: Callbacks in the order in which they will run.
        number: The hash of the last future or task (see `futures`).
        is_open: Callbacks are accepted: the machine is being activated.
        is_over: The machine is being closed, or is closed: callbacks are dropped, calls refused.
        tasks, generators: Held, so that the collector does not end them at a random moment.
    """

    def __init__(self, machine: Machine, tid: int) -> None:
        self.machine = machine
        self.ready: deque[Handle | TimerHandle] = deque()
        self.number = (tid * _MIX) & _MASK
        self.is_open = False
        self.is_over = False
        self.tasks: list[Task] = []
        self.generators: list[Any] = []
        self._named = 0
        self._tasks_limit = 32
        self._generators_limit = 32

    # --- callbacks ----------------------------------------------------------------------------

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> Handle:
        """Run a callback after those that are ready already."""
        handle = Handle(callback, args, contextvars.copy_context() if context is None else context)
        if self.is_open:
            self.ready.append(handle)
        elif not self.is_over:
            raise NotInWorkflow(
                "something outside of a workflow touched a future, a task or the loop of its body "
                f"(to call {callback!r}), which a replay could not repeat; give the outcome to the "
                "body as the result of a step"
            )
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> Handle:
        """`call_soon`, refused to all but the body itself."""
        if asyncio._get_running_loop() is not self:
            raise NotInWorkflow(
                "call_soon_threadsafe() from outside the body of a workflow would bring in what a "
                "replay cannot repeat; do it in a function (@function) and await that as a step"
            )
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Run a callback when a durable timer fires, `delay` seconds from now."""
        return self._schedule(delay, self.time() + delay, callback, args, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Run a callback when a durable timer fires, at the loop time `when`."""
        return self._schedule(when - self.time(), when, callback, args, context)

    def _schedule(
        self,
        delay: float,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> TimerHandle:
        if math.isnan(delay):
            raise ValueError("a timer cannot wait for nan seconds; give it a number")
        refuse_for_timer(callback)
        handle = TimerHandle(
            callback,
            args,
            contextvars.copy_context() if context is None else context,
            self,
            when,
        )
        if delay <= 0:
            if self.is_open:
                self.ready.append(handle)
        elif delay < FOREVER_SECONDS:
            self.machine.start_timer(micros(delay), handle)
        return handle

    def time(self) -> float:
        """Seconds since the run began (floats of seconds since the epoch would lose µs)."""
        machine = self.machine
        return (machine.now - machine.began) / 1e6

    def run(self, limit: int, main: Task | None = None) -> BaseException | None:
        """Run until nothing is ready; what ends the run at once, or None.

        Args:
            limit: So many callbacks may run in a row without a new call.
            main: The body; once it is done, what others of its tasks would still do is of no
                interest.
        """
        ready = self.ready
        popleft = ready.popleft
        left = limit
        calls = self.machine.calls
        while ready:
            handle = popleft()
            if handle._cancelled:
                continue
            left -= 1
            if left < 0:
                if calls == self.machine.calls:
                    return _exhausted(self.machine.name, limit)
                calls = self.machine.calls
                left = limit
            try:
                handle._context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
                return error
            except BaseException as error:  # noqa: BLE001 - the host must survive any body
                self.machine.background_errors.append(error)
            if main is not None and main.done():
                ready.clear()
        return None

    # --- futures and tasks ---------------------------------------------------------------------

    def create_future(self) -> Future:
        """A future of this loop."""
        return Future(self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> Task:
        """Run a coroutine, or wait for any other awaitable, as a task."""
        if self.is_over or not self.is_open:
            if asyncio.iscoroutine(coro):
                coro.close()
            raise NotInWorkflow(
                "a task cannot be started while the body of a workflow is being closed; "
                "start it before, and await it"
            )
        refuse_for_task()
        if not asyncio.iscoroutine(coro):
            coro = _wait_for_it(coro)
        self._named += 1
        task = Task(
            coro,
            self,
            f"Task-{self._named}" if name is None else str(name),
            contextvars.copy_context() if context is None else context,
        )
        if len(self.tasks) >= self._tasks_limit:
            self.tasks = [held for held in self.tasks if not held.done()]
            self._tasks_limit = max(32, 2 * len(self.tasks))
        self.tasks.append(task)
        return task

    def hold_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Hold an asynchronous generator that is about to be used for the first time."""
        if len(self.generators) >= self._generators_limit:
            self.generators = [held for held in self.generators if held.ag_frame is not None]
            self._generators_limit = max(32, 2 * len(self.generators))
        self.generators.append(generator)

    # --- what asyncio asks ---------------------------------------------------------------------

    def get_debug(self) -> bool:
        """Always False."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Ignored: asyncio's debug mode measures with a clock."""

    def is_running(self) -> bool:
        """Whether the body runs just now."""
        return self.is_open

    def is_closed(self) -> bool:
        """Whether the machine is closed."""
        return self.is_over

    def close(self) -> None:
        """Ignored: the machine is closed by whoever made it."""

    async def shutdown_asyncgens(self) -> None:
        """Ignored: generators are closed with the machine."""

    def get_task_factory(self) -> None:
        """None: tasks are always those of this loop."""

    def set_task_factory(self, factory: object) -> None:
        """Refused, except None."""
        if factory is not None:
            raise NotInWorkflow(
                "a task factory cannot be set in a workflow: its tasks must be those that replay"
            )

    def get_exception_handler(self) -> None:
        """None: see `call_exception_handler`."""

    def set_exception_handler(self, handler: object) -> None:
        """Refused, except None."""
        if handler is not None:
            raise NotInWorkflow(
                "an exception handler cannot be set in a workflow: await the task and catch "
                "its exception"
            )

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an error that nobody awaited, for the log."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.machine.background_errors.append(error)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """The same as `call_exception_handler`."""
        self.call_exception_handler(context)


def _exhausted(name: str, limit: int) -> UsageError:
    return UsageError(
        f"the body of {name} ran {limit:,} callbacks in a row without a call that could change "
        "anything; a loop around `await asyncio.sleep(0)` never ends in a workflow: wait for a "
        "step, a time or an asyncio.Event instead"
    )


async def _wait_for_it(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
