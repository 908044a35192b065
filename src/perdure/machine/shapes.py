"""asyncio's waits in one shape for all Pythons.

CPython changes how its waits are built: `wait_for` starts its timer before the coroutine since
3.12, `gather` looks at futures that are done already since 3.12, `as_completed` starts coroutines
in the order of their addresses up to this day, and semaphores, conditions and task groups wake
and cancel differently since 3.13. Each of that moves a call before another, and a journal written
on one Python would not replay on the next. In a workflow the functions below take the place of
asyncio's own (see `shims`). They do what those of 3.13 do, in the same number of turns of the
loop, and walk over nothing but lists, queues and dictionaries.
"""

from __future__ import annotations

import asyncio
import collections
import inspect
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

from perdure.machine.futures import Future
from perdure.machine.loop import Loop

# --- functions ----------------------------------------------------------------------------------


async def wait_for(fut: Any, timeout: float | None) -> Any:
    """`asyncio.wait_for`: the timer comes first, a coroutine runs in the task that waits."""
    if timeout is None or timeout > 0:
        async with asyncio.timeout(timeout):
            return await fut
    future: asyncio.Future[Any] = asyncio.ensure_future(fut)
    if future.done():
        return future.result()
    await _cancel_and_wait(future)
    try:
        return future.result()
    except asyncio.CancelledError as error:
        raise TimeoutError from error


async def _cancel_and_wait(future: asyncio.Future[Any]) -> None:
    waiter = asyncio.get_running_loop().create_future()

    def release(_: object) -> None:
        if not waiter.done():
            waiter.set_result(None)

    future.add_done_callback(release)
    try:
        future.cancel()
        await waiter
    finally:
        future.remove_done_callback(release)


class Gathering(Future):
    """What `gather` returns: cancelling it cancels its children, and it ends when they do."""

    __slots__ = ("children", "is_cancel_requested")

    def __init__(self, loop: Loop, children: list[asyncio.Future[Any]]) -> None:
        super().__init__(loop)
        self.children = children
        self.is_cancel_requested = False

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the children; False if all of them are done."""
        if self.done():
            return False
        any_was_open = False
        for child in self.children:
            if child.cancel(msg):
                any_was_open = True
        if any_was_open:
            self.is_cancel_requested = True
        return any_was_open


def gather(loop: Loop, aws: tuple[Any, ...], *, return_exceptions: bool) -> asyncio.Future[Any]:
    """`asyncio.gather`: children that are done already count at once."""
    if not aws:
        nothing = loop.create_future()
        nothing.set_result([])
        return nothing
    futures: dict[Any, asyncio.Future[Any]] = {}
    for awaitable in aws:
        if awaitable not in futures:
            futures[awaitable] = asyncio.ensure_future(awaitable, loop=loop)
    children = [futures[awaitable] for awaitable in aws]
    outer = Gathering(loop, children)
    left = len(futures)

    def on_done(child: asyncio.Future[Any]) -> None:
        nonlocal left
        left -= 1
        if outer.done():
            if not child.cancelled():
                child.exception()
        elif not return_exceptions and (error := _error_of(child)) is not None:
            outer.set_exception(error)
        elif left == 0:
            if outer.is_cancel_requested:
                outer.set_exception(_error_of(child) or asyncio.CancelledError())
            else:
                outer.set_result([_outcome_of(each) for each in children])

    done_already = [future for future in futures.values() if future.done()]
    for future in futures.values():
        if not future.done():
            future.add_done_callback(on_done)
    for future in done_already:
        on_done(future)
    return outer


def _error_of(future: asyncio.Future[Any]) -> BaseException | None:
    if future.cancelled():
        return _cancellation(future)
    return future.exception()


def _outcome_of(future: asyncio.Future[Any]) -> Any:
    error = _error_of(future)
    return future.result() if error is None else error


def _cancellation(future: Any) -> asyncio.CancelledError:
    message: Any = future._cancel_message
    return asyncio.CancelledError() if message is None else asyncio.CancelledError(message)


class AsCompleted:
    """`asyncio.as_completed`: awaitables are started in the order in which they are given.

    Iterating gives coroutines that return the next result; `async for` gives the futures.
    """

    def __init__(self, loop: Loop, aws: Iterable[Any], timeout: float | None) -> None:
        self._done: collections.deque[asyncio.Future[Any] | None] = collections.deque()
        self._waiters: collections.deque[asyncio.Future[Any]] = collections.deque()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._todo = {
            asyncio.ensure_future(awaitable, loop=loop): None for awaitable in dict.fromkeys(aws)
        }
        for future in self._todo:
            future.add_done_callback(self._on_done)
        if self._todo and timeout is not None:
            self._timer = loop.call_later(timeout, self._on_timeout)
        self._left = len(self._todo)

    def __iter__(self) -> Iterator[Coroutine[Any, Any, Any]]:
        return self

    def __next__(self) -> Coroutine[Any, Any, Any]:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._next_result()

    def __aiter__(self) -> AsCompleted:
        return self

    async def __anext__(self) -> asyncio.Future[Any]:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return await self._next_future()

    def _on_timeout(self) -> None:
        for future in self._todo:
            future.remove_done_callback(self._on_done)
        for _ in range(len(self._todo)):
            self._put(None)
        self._todo.clear()

    def _on_done(self, future: asyncio.Future[Any]) -> None:
        if not self._todo:
            return
        del self._todo[future]
        self._put(future)
        if not self._todo and self._timer is not None:
            self._timer.cancel()

    def _put(self, future: asyncio.Future[Any] | None) -> None:
        self._done.append(future)
        self._wake_next()

    def _wake_next(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _next_future(self) -> asyncio.Future[Any]:
        while not self._done:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                waiter.cancel()
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                if self._done and not waiter.cancelled():
                    self._wake_next()
                raise
        future = self._done.popleft()
        if future is None:
            raise TimeoutError
        return future

    async def _next_result(self) -> Any:
        return (await self._next_future()).result()


def as_completed(loop: Loop, aws: Any, timeout: float | None) -> AsCompleted:
    """`asyncio.as_completed`, refusing a single awaitable."""
    if inspect.isawaitable(aws):
        raise TypeError(f"expects an iterable of awaitables, not {type(aws).__name__}")
    return AsCompleted(loop, aws, timeout)


# --- methods --------------------------------------------------------------------------------------


async def acquire_semaphore(self: Any) -> bool:
    """`Semaphore.acquire`: first come, first served, also after a cancelled waiter."""
    if not self.locked():
        self._value -= 1
        return True
    if self._waiters is None:
        self._waiters = collections.deque[Any]()
    waiter = self._get_loop().create_future()
    self._waiters.append(waiter)
    try:
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            self._value += 1
        raise
    finally:
        while self._value > 0 and _wake_semaphore_waiter(self):
            pass
    return True


def _wake_semaphore_waiter(semaphore: Any) -> bool:
    for waiter in semaphore._waiters or ():
        if not waiter.done():
            semaphore._value -= 1
            waiter.set_result(True)
            return True
    return False


async def wait_condition(self: Any) -> bool:
    """`Condition.wait`: who leaves with an error after it was notified notifies another."""
    if not self.locked():
        raise RuntimeError("cannot wait on un-acquired lock")
    waiter = self._get_loop().create_future()
    self.release()
    try:
        try:
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
        finally:
            await _acquire_again(self)
    except BaseException:
        for other in self._waiters:
            if not other.done():
                other.set_result(False)
                break
        raise
    return True


async def _acquire_again(condition: Any) -> None:
    last: asyncio.CancelledError | None = None
    while True:
        try:
            await condition.acquire()
            break
        except asyncio.CancelledError as error:
            last = error
    if last is not None:
        try:
            raise last
        finally:
            last = None


async def exit_task_group(self: Any, et: Any, exc: BaseException | None, tb: object) -> None:
    """`TaskGroup.__aexit__`: the count of cancel requests is the same before and after."""
    self._exiting = True
    if exc is not None and self._base_error is None and self._is_base_error(exc):
        self._base_error = exc
    is_cancellation = isinstance(exc, asyncio.CancelledError)
    cancellation = exc if is_cancellation else None
    if exc is not None and not self._aborting:
        self._abort()
    while self._tasks:
        if self._on_completed_fut is None:
            self._on_completed_fut = self._loop.create_future()
        try:
            await self._on_completed_fut
        except asyncio.CancelledError as error:
            if not self._aborting:
                cancellation = error
                self._abort()
        self._on_completed_fut = None
    try:
        _raise_from_task_group(self, None if is_cancellation else exc, cancellation)
    finally:
        cancellation = exc = None


def _raise_from_task_group(
    group: Any, error: BaseException | None, cancellation: BaseException | None
) -> None:
    if group._base_error is not None:
        raise group._base_error
    parent = group._parent_task
    if group._parent_cancel_requested and parent.uncancel() == 0:
        cancellation = None
    errors = group._errors
    if cancellation is not None and not errors:
        raise cancellation
    if error is not None:
        errors.append(error)
    if not errors:
        return
    if parent.cancelling():
        parent.uncancel()
        parent.cancel()
    group._errors = None
    raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None
