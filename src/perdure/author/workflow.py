"""`@workflow`: a function that calls functions and waits, and whose body survives crashes.

The body is an ordinary ``async def``. It runs on a deterministic loop (see `perdure.machine`); what
it calls is recorded, and after a crash it is run again from the journal up to where it was.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, overload

from perdure.author.function import AsyncFunction, Function, checked_name, refuse_method
from perdure.author.keys import idempotency_key
from perdure.author.registry import register
from perdure.core.codec import JSON
from perdure.core.contract import Contract
from perdure.core.errors import DeclarationError, NotInWorkflow
from perdure.core.run import Kind
from perdure.core.text import is_writable
from perdure.machine import current

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Generic[P, R]):
    """A declared workflow. Made by `@workflow`; started by `start` and `run`.

    Attributes:
        fn: The body as it was written.
        name: Its name in the store.
        version: The version of its code; "" unless declared.
        contract: Its inputs and output.
    """

    kind = Kind.WORKFLOW

    def __init__(self, fn: Callable[..., Any], *, name: str | None, version: str) -> None:
        self.fn = fn
        self.name = checked_name(name, fn)
        if not isinstance(version, str) or len(version) > 100 or not is_writable(version):
            raise DeclarationError(f"version={version!r} of {self.name}() is not a short text")
        self.version = version
        self.contract = Contract.of(fn)
        refuse_method(fn, self.contract)
        if not self.contract.is_async:
            raise DeclarationError(
                f"{self.name}() is not an async def; a workflow must be one: write async def "
                f"{self.name}(…), or declare it with @function"
            )
        if self.contract.injected:
            names = ", ".join(self.contract.injected)
            raise DeclarationError(
                f"{self.name}() asks for {names}; in a workflow call get_context() instead"
            )
        self.key: str | None = None
        functools.update_wrapper(self, fn)

    def options(self, *, key: str | None = None) -> Self:
        """The same workflow with an idempotency key, for one start.

        ``start(fulfil.options(key="order-42"), order)`` is ``start(fulfil, order, key="order-42")``,
        for a workflow that has an input of its own named ``key``.

        Args:
            key: The key; None: without one.

        Raises:
            UsageError: It is no key.
        """
        varied = copy.copy(self)
        varied.key = idempotency_key(key)
        return varied

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """In the body of another workflow: start a child run and wait for its result.

        Raises:
            NotInWorkflow: Called outside the body of a workflow.
        """
        if current() is None:
            raise NotInWorkflow(
                f"{self.name}() is a workflow: outside a workflow write "
                f"perdure.run({self.name}, …) to run it and wait, or start({self.name}, …)"
            )
        return self._as_child(args, kwargs)

    async def _as_child(self, args: Any, kwargs: Any) -> R:
        machine = current()
        if machine is None:
            raise NotInWorkflow(f"{self.name}() was awaited outside the workflow that called it")
        if self.key is not None:
            raise DeclarationError(
                f"{self.name}() is called as a child with key={self.key!r}; "
                "a child is known by its place in its parent and takes no key"
            )
        payload = self.contract.encode_input(JSON, args, kwargs)
        return cast(R, await machine.call_child(self.name, payload, self))

    # What a machine needs to turn an outcome into a value (`machine.Target`).

    def decode(self, value: str) -> object:
        return self.contract.decode_output(JSON, value)

    def decode_error(self, value: str) -> BaseException:
        return JSON.decode_error(value)

    def __repr__(self) -> str:
        version = f" version {self.version!r}" if self.version else ""
        return f"<workflow {self.name}{version} of {self.fn.__module__}>"


@overload
def workflow(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *, name: str | None = None, version: str = ""
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Workflow[P, R]]: ...
def workflow(fn: Any = None, /, *, name: str | None = None, version: str = "") -> Any:
    """Declare an ``async def`` as a workflow; with or without parentheses.

    Args:
        name: Its name in the store; the callable's own name by default. Keep it when you rename the
            callable, or unfinished runs will not find their code.
        version: The version of its code. A run stays with the version it was started on: a worker
            that knows only another version does not touch it.

    Raises:
        DeclarationError: An option cannot be kept, or the signature cannot be a contract.

    >>> from perdure import workflow
    >>>
    >>>
    >>> @workflow
    ... async def greet(name: str) -> str:
    ...     return f"hello {name}"
    """

    def declare(target: Callable[..., Any]) -> Workflow[Any, Any]:
        if isinstance(target, Workflow | Function):
            raise DeclarationError(f"{target.name} is declared already, as {target!r}")
        if not callable(target) or not hasattr(target, "__qualname__"):
            raise DeclarationError(f"@workflow needs an async def, not {target!r}")
        declared: Workflow[Any, Any] = Workflow(target, name=name, version=version)
        register(declared)
        return declared

    return declare if fn is None else declare(fn)


def body_of(
    definition: Workflow[Any, Any] | Function[Any, Any], args: Any, kwargs: Any
) -> Coroutine[Any, Any, object]:
    """The coroutine that a run of this definition executes on its machine.

    A function run is a run whose body calls the function once, as its only step.
    """
    if isinstance(definition, Workflow):
        return cast("Coroutine[Any, Any, object]", definition.fn(*args, **kwargs))
    if isinstance(definition, AsyncFunction):
        return definition(*args, **kwargs)
    return definition.step(*args, **kwargs)
