"""Putting the shapes in place: one dispatch in front of the functions of asyncio.

Each wrapper asks which loop is running. On the loop of a workflow it takes the shape of `shapes`;
on any other it calls what was there before, so that a host application notices nothing.

A module that said `from asyncio import gather` before Perdure was imported has the original in its
own namespace (and the two import lines are usually sorted just so): `install` puts the wrapper
there as well. An original that it cannot find, under another name, is refused: see `originals`.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from perdure.machine import shapes
from perdure.machine.loop import Loop

_NEWEST_SHAPES = (3, 13)
"""From this Python on, the methods of asyncio's classes have these shapes themselves."""

_installed: list[str] = []


def install() -> None:
    """Put the wrappers in place; twice is fine."""
    if _installed:
        return
    wrappers = {
        "wait_for": _wait_for(asyncio.wait_for),
        "gather": _gather(asyncio.gather),
        "as_completed": _as_completed(asyncio.as_completed),
    }
    for name, wrapper in wrappers.items():
        _replace_everywhere(name, getattr(asyncio, name), wrapper)
        _installed.append(name)
    if sys.version_info < _NEWEST_SHAPES:
        _replace_method(asyncio.Semaphore, "acquire", shapes.acquire_semaphore)
        _replace_method(asyncio.Condition, "wait", shapes.wait_condition)
        _replace_method(asyncio.TaskGroup, "__aexit__", shapes.exit_task_group)


def _replace_everywhere(name: str, original: object, wrapper: object) -> None:
    modules: list[object] = list(sys.modules.values())
    for module in modules:
        if isinstance(module, ModuleType):
            # Asked past __getattribute__, so that a module that loads when touched stays asleep.
            names: dict[str, Any] = object.__getattribute__(module, "__dict__")
            if names.get(name) is original:
                names[name] = wrapper


def _replace_method(owner: Any, name: str, shape: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    async def dispatch(self: Any, *args: Any) -> Any:
        if type(asyncio._get_running_loop()) is Loop:
            return await shape(self, *args)
        return await original(self, *args)

    setattr(owner, name, dispatch)


def _wait_for(original: Any) -> Any:
    @functools.wraps(original)
    async def wait_for(fut: Any, timeout: float | None) -> Any:
        if type(asyncio._get_running_loop()) is Loop:
            return await shapes.wait_for(fut, timeout)
        return await original(fut, timeout)

    return wait_for


def _gather(original: Any) -> Any:
    @functools.wraps(original)
    def gather(*coros_or_futures: Any, return_exceptions: bool = False) -> Any:
        loop = asyncio._get_running_loop()
        if type(loop) is Loop:
            return shapes.gather(loop, coros_or_futures, return_exceptions=return_exceptions)
        return original(*coros_or_futures, return_exceptions=return_exceptions)

    return gather


def _as_completed(original: Any) -> Any:
    @functools.wraps(original)
    def as_completed(fs: Any, *, timeout: float | None = None) -> Any:
        loop = asyncio._get_running_loop()
        if type(loop) is Loop:
            return shapes.as_completed(loop, fs, timeout)
        return original(fs, timeout=timeout)

    return as_completed
