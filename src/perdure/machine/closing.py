"""Closing a body: its coroutines end here and now, quietly, in a fixed order.

A suspended coroutine that is merely dropped is closed by the collector, at some moment, in some
order, under whatever loop happens to run then, and asyncio complains about its task. So the tasks
are closed by hand, newest first (what a task started is closed before it), each in its own
context; a coroutine that ignores `GeneratorExit` (a `TaskGroup` that waits for its tasks does) is
closed again. Then the asynchronous generators, newest first, in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias

from perdure.core.errors import NotInWorkflow

if TYPE_CHECKING:
    from perdure.machine.futures import Task
    from perdure.machine.loop import Loop

MAX_TRIES = 100
"""What is asked so often to end and does not is left to the collector."""

_Coroutine: TypeAlias = "CoroutineType[Any, Any, Any]"


def close_body(loop: Loop, errors: list[BaseException]) -> None:
    """Close all tasks and generators of a loop that is over; `errors` collects what they raise."""
    loop.ready.clear()
    tasks, loop.tasks = loop.tasks, []
    for task in reversed(tasks):
        _close_task(task, errors)
    generators, loop.generators = loop.generators, []
    for generator in reversed(generators):
        if generator.ag_frame is not None:
            _insist(functools.partial(_close_generator, generator), errors)
    loop.ready.clear()


def _close_task(task: Task, errors: list[BaseException]) -> None:
    state: Any = task
    if task.done():
        if state._log_traceback and not task.cancelled():
            error = task.exception()
            if error is not None:
                errors.append(error)
        return
    state._log_destroy_pending = False
    coro: Any = task.get_coro()
    if isinstance(coro, CoroutineType):
        _close_coroutine(coro, task, errors)
    elif coro is not None:
        _insist(functools.partial(task.context.run, coro.close), errors)


def _close_coroutine(coro: Any, task: Task, errors: list[BaseException]) -> None:
    """Close a coroutine and those that it awaits, which it lets go of when they ignore that."""
    left: list[_Coroutine] = [coro]
    for _ in range(MAX_TRIES):
        left += [inner for inner in _awaited(left[0]) if inner not in left]
        _try(functools.partial(task.context.run, left[0].close), errors)
        left = [each for each in left if each.cr_frame is not None]
        if not left:
            return


def _awaited(coro: _Coroutine) -> Iterator[_Coroutine]:
    inner = coro.cr_await
    while isinstance(inner, CoroutineType):
        yield inner
        inner = inner.cr_await


def _close_generator(generator: Any) -> None:
    try:
        generator.aclose().send(None)
    except (StopIteration, StopAsyncIteration):
        return
    raise RuntimeError("asynchronous generator ignored GeneratorExit")


def _insist(close: Callable[[], None], errors: list[BaseException]) -> None:
    for _ in range(MAX_TRIES):
        if _try(close, errors):
            return


def _try(close: Callable[[], None], errors: list[BaseException]) -> bool:
    """Close once; whether that was not ignored."""
    try:
        close()
    except NotInWorkflow:
        pass
    except RuntimeError as problem:
        if "ignored GeneratorExit" in str(problem):
            return False
        errors.append(problem)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        errors.append(error)
    return True
