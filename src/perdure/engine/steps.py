"""Step execution: one attempt of one step, from the recorded input to an outcome.

An attempt is a `Flight`. It decodes its input from the journal (never the live objects: an attempt
must not see what another one changed), runs the body, encodes what it returned, and reports once.
Whatever the body does (return a lock, raise SystemExit, never come back), the worker survives it:
the outcome is a value, an error, or nothing at all for an attempt that was stopped.

Async functions run as tasks on the loop; plain ones in daemon threads. A timeout cancels a task; if
the task does not end within a grace, and for a thread at once, the attempt is *abandoned*: its
outcome is a `StepTimeout`, and what it may still produce is refused and logged.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from perdure.author.context import Context, Progress, enter
from perdure.author.function import Function
from perdure.core import duration
from perdure.core.codec import JSON
from perdure.core.errors import EncodingError, StepError, StepTimeout
from perdure.core.events import Step
from perdure.engine.lane import Lane
from perdure.engine.threads import Call, Threads

logger = logging.getLogger("perdure.engine")

CANCEL_GRACE_SECONDS = 5.0
"""How long a cancelled async step may take for its clean-up before it is abandoned."""


class Flown(Protocol):
    """What a flight wants to know of its run."""

    tid: int
    name: str
    key: str | None


class Flight(msgspec.Struct, eq=False):
    """One attempt of one step.

    Attributes:
        command, ordinal: The recorded call.
        function: What it calls.
        attempt: Which attempt of the step this is, from 1.
        run: The run that it belongs to.
        on_progress: Where its progress goes: (tid, ordinal, progress).
    """

    command: Step
    ordinal: int
    function: Function[Any, Any]
    attempt: int
    run: Flown
    tid: int
    on_progress: Callable[[int, int, Progress], None]
    task: asyncio.Task[None] | None = None
    call: Call | None = None
    timer: asyncio.TimerHandle | None = None
    deadline: float = math.inf
    is_over: bool = False
    is_timed_out: bool = False
    _context: Context | None = None

    def context(self) -> Context:
        """The context of the body; most bodies never ask for it."""
        if self._context is None:
            self._context = Context(
                tid=str(self.tid),
                name=self.run.name,
                step=self.ordinal,
                step_name=self.function.name,
                attempt=self.attempt,
                key=self.run.key,
                on_progress=partial(self.on_progress, self.tid, self.ordinal),
            )
        return self._context

    def __str__(self) -> str:
        return f"step {self.ordinal} {self.function.name}() of run {self.tid}"


Landed = Callable[[Flight, str | None, BaseException | None], None]


class Steps:
    """Starts and stops attempts on one loop.

    Args:
        loop: The loop on which async functions run and `landed` is called.
        threads: Where plain functions run.
        landed: Called exactly once per attempt that was not stopped: (flight, value, None) with
            the encoded outcome, or (flight, None, error).
        interrupted: Called for an attempt that somebody else cancelled (the host's loop is being
            torn down): it has no outcome, and must be run again elsewhere.
        may_begin: Whether the lease still holds, asked when a body is about to begin: between its
            launch and that moment the process may have been stopped for an hour.
        postponed: Called for an attempt that may not begin now; nothing of it ran.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        threads: Threads,
        landed: Landed,
        interrupted: Callable[[Flight], None],
        *,
        may_begin: Callable[[], bool],
        postponed: Callable[[Flight], None],
    ) -> None:
        self._loop = loop
        self._threads = threads
        self._landed = landed
        self._interrupted = interrupted
        self._may_begin = may_begin
        self._postponed = postponed
        # Every attempt starts from the contextvars of the worker's start: those of whoever happened
        # to wake the loop are none of its business.
        self._variables = contextvars.copy_context()
        self._lane: Lane[Flight] = Lane(loop, self._run_async, self._postpone)

    def launch(self, flight: Flight) -> None:
        """Start an attempt."""
        function = flight.function
        try:
            args, kwargs = function.contract.decode_input(
                JSON, bytes(flight.command.input).decode()
            )
        except Exception as error:  # noqa: BLE001 - becomes the outcome of the step
            self._loop.call_soon(self._land, flight, None, error)
            return
        if function.contract.injected:
            kwargs = function.bind_injected(kwargs, flight.context())
        if function.contract.is_async:
            self._lane.add(flight, args, kwargs)
        else:
            variables = enter(self._variables, flight)
            flight.call = self._threads.submit(
                lambda: variables.run(self._run_in_thread, flight, args, kwargs)
            )

    def _start_timer(self, flight: Flight) -> None:
        if not flight.is_over:
            assert flight.function.timeout is not None
            seconds = flight.function.timeout / 1_000_000
            flight.deadline = self._loop.time() + seconds
            flight.timer = self._loop.call_later(seconds, self._time_out, flight)

    def stop(self, flight: Flight) -> None:
        """Nobody waits for this attempt any more: cancel or abandon it, and report nothing."""
        if flight.is_over:
            return
        task = flight.task
        self._close(flight)
        if task is not None:
            task.cancel()
        elif flight.call is not None and self._threads.abandon(flight.call):
            logger.warning("%s was stopped, but its thread goes on", flight)

    async def _run_async(self, flight: Flight, args: Any, kwargs: Any) -> None:
        if not self._may_begin():
            self._postpone(flight)
            return
        if flight.function.timeout is not None:
            self._start_timer(flight)
        value: str | None = None
        error: BaseException | None = None
        try:
            result = await flight.function.fn(*args, **kwargs)
            value = _written(flight, result)
        except asyncio.CancelledError as caught:
            task = flight.task
            if flight.is_timed_out:
                error = _timeout_error(flight)
            elif task is not None and task.cancelling():
                if not flight.is_over:
                    self._close(flight)
                    self._interrupted(flight)
                return
            else:
                error = caught
        except BaseException as caught:
            if self._loop.is_closed():
                raise  # it was torn down with its loop: no outcome, it runs again elsewhere
            error = caught
        self._land(flight, value, error)

    def _run_in_thread(self, flight: Flight, args: Any, kwargs: Any) -> None:
        if not self._may_begin():
            self._tell(flight, self._postpone, flight)
            return
        if flight.function.timeout is not None:
            self._tell(flight, self._start_timer, flight)
        value: str | None = None
        error: BaseException | None = None
        try:
            result = flight.function.fn(*args, **kwargs)
            if inspect.iscoroutine(result):
                result.close()
                raise EncodingError(
                    f"{flight.function.name}() is a plain def but returned a coroutine; "
                    "declare it async def, or return the awaited value",
                    path="result",
                )
            value = _written(flight, result)
        except BaseException as caught:  # noqa: BLE001 - the outcome of the step
            error = caught
        self._tell(flight, self._land, flight, value, error)

    def _tell(self, flight: Flight, callback: Callable[..., None], *args: Any) -> None:
        """Call back on the loop, from a thread."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            logger.warning("%s ended after its worker did; its outcome is not recorded", flight)

    def _postpone(self, flight: Flight) -> None:
        if not flight.is_over:
            self._close(flight)
            self._postponed(flight)

    def _time_out(self, flight: Flight) -> None:
        flight.timer = None
        if flight.is_over:
            return
        flight.is_timed_out = True
        if flight.task is not None:
            flight.task.cancel()
            flight.timer = self._loop.call_later(CANCEL_GRACE_SECONDS, self._give_up, flight)
        else:
            self._give_up(flight)

    def _give_up(self, flight: Flight) -> None:
        flight.timer = None
        if flight.is_over:
            return
        if flight.call is not None:
            self._threads.abandon(flight.call)
        logger.warning(
            "%s did not end after its timeout; it is abandoned, and what it may still return "
            "will be refused",
            flight,
        )
        self._land(flight, None, _timeout_error(flight))

    def _land(self, flight: Flight, value: str | None, error: BaseException | None) -> None:
        if flight.is_over:
            if flight.is_timed_out:
                logger.warning("%s ended after it was abandoned; its outcome is refused", flight)
            return
        # A deadline is asked for before the time is: most attempts have none.
        has_limit = flight.deadline != math.inf and flight.call is None
        is_late = has_limit and flight.deadline < self._loop.time()
        self._close(flight)
        if is_late:
            flight.is_timed_out = True  # it blocked the loop, so that nothing could interrupt it
        if flight.is_timed_out and not isinstance(error, StepTimeout):
            # However it ended after that: what it returns too late is refused.
            value, error = None, _timeout_error(flight)
        if error is not None and not isinstance(error, Exception):
            error = _as_exception(flight, error)
        self._landed(flight, value, error)

    def _close(self, flight: Flight) -> None:
        flight.is_over = True
        flight.task = None  # a task holds its contextvars, and they hold the flight
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None


def _written(flight: Flight, result: object) -> str:
    """Write an outcome down, and make sure that it can be read back: once it is recorded, a
    workflow that cannot read it could not go on."""
    contract = flight.function.contract
    value = contract.encode_output(JSON, result)
    if not contract.output.is_direct:
        contract.decode_output(JSON, value)
    return value


def _timeout_error(flight: Flight) -> StepTimeout:
    limit = duration.show(flight.function.timeout or 0)
    return StepTimeout(
        f"{flight.function.name}() ran longer than its timeout of {limit}",
        type_name="perdure.core.errors:StepTimeout",
    )


def _as_exception(flight: Flight, error: BaseException) -> StepError:
    """A step that raises SystemExit or the like has failed; the workflow must not exit with it."""
    kind = type(error)
    wrapped = StepError(
        f"{flight.function.name}() raised {error!r}",
        type_name=f"{kind.__module__}:{kind.__qualname__}",
    )
    wrapped.__cause__ = None
    return wrapped.with_traceback(error.__traceback__)
