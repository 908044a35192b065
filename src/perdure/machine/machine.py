"""One run's body in memory: one event in, the commands that it causes out.

Rules of this file:

1. A machine is a function of its journal. It knows no clock, no I/O and no threads; the same rows
   bring it to the same state in every process and on every supported Python.
2. Events come one at a time. After each, the loop runs until nothing is ready any more.
3. Calls (steps, timers, children) share one count, the ordinal, in the order in which the body
   made them. A call that is made and withdrawn again within one activation was never asked for:
   no command tells of it, but its ordinal stays used.
4. An outcome for a call that is not pending any more is ignored.
5. The ending is the last command. Before it, the calls that are still pending are cancelled
   (timers need no cancelling: they end with the run).
6. `close` ends the body as a removed process would, but in good order: plain code in `finally`
   runs, calls in it are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.core.errors import NotInWorkflow, Unreplayable
from perdure.core.events import (
    Cancel,
    Cancelled,
    Child,
    Command,
    Complete,
    Ending,
    Event,
    EventKind,
    Fail,
    Row,
    Step,
    Timer,
    encode_commands,
)
from perdure.machine.closing import close_body
from perdure.machine.futures import Call, Task, TimerHandle
from perdure.machine.loop import Loop
from perdure.machine.pending import Pending, Target
from perdure.machine.replay import reconcile, words

if TYPE_CHECKING:
    import random
    import uuid

MAX_HANDLES = 100_000
"""So many callbacks may run in one activation without a new call before the run fails."""


class Machine:
    """The body of one run on its deterministic loop.

    Args:
        tid: The run; `random` and all hashes are seeded from it.
        name: The workflow, for messages.
        body: Makes the coroutine of the body.
        encode_result: Makes the output of the value that the body returns; a `UsageError` that it
            raises fails the run.
        encode_error: Makes the payload of the exception that the body raises.
        context: Where the body runs; a fresh one by default.
        max_handles: See `MAX_HANDLES`.

    Attributes:
        pending: Calls without an outcome, by ordinal, in the order in which they were made.
        ending: How the body ended, or None.
        replaying: Whether the body is doing again what it has done before.
        calls: How many calls the body has made; the next ordinal.
        now: The body's clock: when the row being delivered was decided (µs).
        began: `now` of the first row.
        drift: What a replay found to differ without harm (inputs), in sentences.
        background_errors: What tasks and callbacks raised and nobody awaited.
    """

    __slots__ = (
        "_body",
        "_commands",
        "_context",
        "_encode_error",
        "_encode_result",
        "_fresh",
        "_is_cancelled",
        "_main",
        "_random",
        "_void",
        "background_errors",
        "began",
        "calls",
        "drift",
        "ending",
        "loop",
        "max_handles",
        "name",
        "now",
        "pending",
        "replaying",
        "tid",
    )

    def __init__(
        self,
        tid: int,
        name: str,
        body: Callable[[], Coroutine[Any, Any, object]],
        *,
        encode_result: Callable[[object], str],
        encode_error: Callable[[BaseException], str],
        context: contextvars.Context | None = None,
        max_handles: int = MAX_HANDLES,
    ) -> None:
        self.tid = tid
        self.name = name
        self.max_handles = max_handles
        self.pending: dict[int, Pending] = {}
        self.ending: Ending | None = None
        self.replaying = False
        self.now = 0
        self.began = 0
        self.drift: list[str] = []
        self.background_errors: list[BaseException] = []
        self.loop = Loop(self, tid)
        self._body: Callable[[], Coroutine[Any, Any, object]] | None = body
        self._encode_result = encode_result
        self._encode_error = encode_error
        self._context = context
        self._main: Task | None = None
        self._is_cancelled = False
        self._commands: list[Command] = []
        self.calls = 0
        self._fresh = 0
        self._void: set[int] = set()
        self._random: random.Random | None = None

    # --- delivering -----------------------------------------------------------------------------

    def activate(self, event: Event, at: int) -> list[Command]:
        """Deliver one event, run until quiet, and return the commands that it caused, in order.

        Args:
            event: What happened; kinds that the body does not see cause nothing.
            at: When it was decided (µs).
        """
        # As in `_running`, written out: a context manager would cost a fifth of an activation.
        hooks = sys.get_asyncgen_hooks()
        running = asyncio._get_running_loop()
        loop = self.loop
        sys.set_asyncgen_hooks(loop.hold_generator, _leave_generator)
        asyncio._set_running_loop(loop)
        try:
            return self._deliver(event, at)
        finally:
            asyncio._set_running_loop(running)
            sys.set_asyncgen_hooks(*hooks)

    def replay(self, rows: Iterable[Row]) -> None:
        """Deliver the rows of a journal, and compare what they cause with what they caused before.

        Inputs that differ are told in `drift`, and the recorded ones stay in `pending`.

        Raises:
            Unreplayable: The code now does something else; close the machine.
        """
        self.replaying = True
        try:
            with self._running():
                for row in rows:
                    commands = self._deliver(row.event, row.at)
                    if encode_commands(commands) != row.commands:
                        self._reconcile(row, commands)
        finally:
            self.replaying = False

    def _deliver(self, event: Event, at: int) -> list[Command]:
        if at > self.now:
            self.now = at
        if self.ending is not None:
            return []
        loop = self.loop
        if loop.is_over:
            raise RuntimeError(f"the machine of run {self.tid} ({self.name}) is closed; replay it")
        commands = self._commands = []
        self._fresh = self.calls
        loop.is_open = True
        try:
            kind = event.kind
            if kind is EventKind.STEP_COMPLETED or kind is EventKind.CHILD_COMPLETED:
                self._answer(event, failed=False)
            elif kind is EventKind.TIMER_FIRED:
                self._fire(event)
            elif kind is EventKind.STEP_FAILED or kind is EventKind.CHILD_FAILED:
                self._answer(event, failed=True)
            elif kind is EventKind.STARTED:
                self._start()
            elif kind is EventKind.CANCEL_REQUESTED:
                self._cancel(event)
            if loop.ready:
                self._run()
        finally:
            loop.is_open = False
        if self._void:
            commands = [each for each in commands if _ordinal(each) not in self._void]
            self._void.clear()
        return commands

    def _answer(self, event: Event, *, failed: bool) -> None:
        ordinal = event.ordinal
        pending = self.pending.get(ordinal) if ordinal is not None else None
        if pending is None or pending.future is None or pending.target is None:
            return
        del self.pending[pending.ordinal]
        future = pending.future
        value = "null" if event.value is None else event.value
        if not failed:
            try:
                outcome = pending.target.decode(value)
            except Exception as problem:
                # A body that saw this as an exception would end for good by a slip in an
                # annotation. Nothing is wrong with the run: it can go on once the code is mended.
                raise Unreplayable(
                    f"the recorded outcome of {words(pending.command)} cannot be read by the code "
                    f"as it is: {problem}",
                    seq=-1,
                    recorded=value[:200],
                ) from problem
            future.set_result(outcome)
            return
        error = pending.target.decode_error(value)
        if isinstance(error, StopIteration):
            stopped = RuntimeError(f"the call raised {error!r}, which no coroutine can raise")
            stopped.__cause__ = error
            error = stopped
        future.set_exception(error)

    def _fire(self, event: Event) -> None:
        ordinal = event.ordinal
        pending = self.pending.get(ordinal) if ordinal is not None else None
        if pending is None or pending.handle is None:
            return
        del self.pending[pending.ordinal]
        pending.handle.ordinal = None
        self.loop.ready.append(pending.handle)

    def _start(self) -> None:
        if self._body is None:
            return
        body, self._body = self._body, None
        self.began = self.now
        context = contextvars.Context() if self._context is None else self._context
        try:
            coro = context.run(body)
        except BaseException as error:  # noqa: BLE001 - the host must survive any body
            self._end(Fail(self._encode_error(error)))
            return
        self._main = self.loop.create_task(coro, context=context)

    def _cancel(self, event: Event) -> None:
        if self._is_cancelled or self._main is None:
            return
        self._is_cancelled = True
        self._main.cancel(_reason(event.value))

    # --- ending ---------------------------------------------------------------------------------

    def _run(self) -> None:
        main = self._main
        error = self.loop.run(self.max_handles, main)
        if error is not None:
            if main is not None and main.done() and not main.cancelled():
                main.exception()  # the ending tells of it: it is not one that nobody looked at
            self._end(Fail(self._encode_error(error)))
        elif main is not None and main.done():
            self._end(self._ending(main))

    def _ending(self, main: Task) -> Ending:
        if main.cancelled():
            if self._is_cancelled:
                return Cancelled()
            try:
                main.result()
            except asyncio.CancelledError as cancelled:
                return Fail(self._encode_error(cancelled))
        error = main.exception()
        if error is not None:
            return Fail(self._encode_error(error))
        try:
            return Complete(self._encode_result(main.result()))
        except Exception as problem:  # noqa: BLE001 - the run fails, not the worker
            return Fail(self._encode_error(problem))

    def _end(self, ending: Ending) -> None:
        self.ending = ending
        self._close()
        for ordinal, pending in self.pending.items():
            if ordinal >= self._fresh:
                self._void.add(ordinal)
            elif pending.future is not None:
                self._commands.append(Cancel(ordinal))
        self.pending.clear()
        self._commands.append(ending)

    # --- what the body asks for -----------------------------------------------------------------

    def call_step(
        self, name: str, input: str, target: Target, key: str | None = None
    ) -> asyncio.Future[Any]:
        """Ask for a step.

        Args:
            name: The function.
            input: Its encoded input.
            target: What makes the live value of the outcome.
            key: An explicit name of this call, beside its order.

        Returns:
            The outcome; cancelling it withdraws the call.

        Raises:
            NotInWorkflow: The body is being closed.
        """
        ordinal = self.calls
        if not self.loop.is_open:
            raise self._refuse(name)
        self.calls = ordinal + 1
        command = Step(ordinal, name, msgspec.Raw(input), key)
        future = Call(self.loop, ordinal)
        self.pending[ordinal] = Pending(ordinal, command, target, future)
        self._commands.append(command)
        return future

    def call_child(
        self, name: str, input: str, target: Target, key: str | None = None
    ) -> asyncio.Future[Any]:
        """Ask for a child run; see `call_step`."""
        ordinal = self.calls
        if not self.loop.is_open:
            raise self._refuse(name)
        self.calls = ordinal + 1
        command = Child(ordinal, name, msgspec.Raw(input), key)
        future = Call(self.loop, ordinal)
        self.pending[ordinal] = Pending(ordinal, command, target, future)
        self._commands.append(command)
        return future

    def start_timer(self, delay: int, handle: TimerHandle) -> None:
        """Ask for a timer that is due `delay` µs from now (asked by the loop)."""
        ordinal = self.calls
        if not self.loop.is_open:
            if self.loop.is_over:
                return
            raise self._refuse("a timer")
        self.calls = ordinal + 1
        handle.ordinal = ordinal
        command = Timer(ordinal, self.now + delay)
        self.pending[ordinal] = Pending(ordinal, command, None, None, handle)
        self._commands.append(command)

    def withdraw(self, ordinal: int) -> None:
        """The body no longer waits for this call."""
        if self.loop.is_over or self.pending.pop(ordinal, None) is None:
            return
        if ordinal < self._fresh:
            self._commands.append(Cancel(ordinal))
        else:
            self._void.add(ordinal)

    def _refuse(self, what: str) -> NotInWorkflow:
        if self.ending is not None:
            return NotInWorkflow(
                f"{what} cannot be called any more: the body of {self.name} has ended; "
                "await what it started before it ends (asyncio.TaskGroup does)"
            )
        if self.loop.is_over:
            return NotInWorkflow(
                f"{what} cannot be called while the body of {self.name} is being closed (a "
                "`finally` runs because the run moves out of memory, and it will run again): "
                "call it in `except asyncio.CancelledError` or after the `try`"
            )
        return NotInWorkflow(
            f"{what} was called for a run of {self.name} from outside of its body; "
            "call it in the body"
        )

    @property
    def random(self) -> random.Random:
        """Random numbers that are the same in every replay of this run."""
        if self._random is None:
            import random

            self._random = random.Random(self.tid)
        return self._random

    def uuid4(self) -> uuid.UUID:
        """A random UUID that is the same in every replay of this run."""
        import uuid

        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    # --- closing ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Take the body out of memory: plain code in its `finally` runs, calls there are refused.

        Nothing is told to anybody: the journal is what it was. Twice is fine.
        """
        if self.loop.is_over:
            return
        with self._running():
            self._close()
        self.pending.clear()

    def _close(self) -> None:
        loop = self.loop
        loop.is_open = False
        loop.is_over = True
        self._main = None
        self._body = None
        self._context = None
        close_body(loop, self.background_errors)

    @contextlib.contextmanager
    def _running(self) -> Generator[None]:
        """Our loop is the running one, and the host's is again afterwards, whatever happens."""
        hooks = sys.get_asyncgen_hooks()
        running = asyncio._get_running_loop()
        sys.set_asyncgen_hooks(self.loop.hold_generator, _leave_generator)
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(running)
            sys.set_asyncgen_hooks(*hooks)

    def _reconcile(self, row: Row, commands: list[Command]) -> None:
        for recorded in reconcile(row, commands, self.drift):
            pending = self.pending.get(recorded.ordinal)
            if pending is not None:
                pending.command = recorded


def current() -> Machine | None:
    """The machine whose body is running just now, or None."""
    loop = asyncio._get_running_loop()
    return loop.machine if type(loop) is Loop else None


def _ordinal(command: Command) -> int | None:
    return command.ordinal if isinstance(command, Step | Timer | Child) else None


def _leave_generator(generator: object) -> None:
    """A generator that the collector found is closed with the machine (it is held until then)."""


def _reason(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value.encode(), type=str | None)
    except msgspec.MsgspecError:
        return value
