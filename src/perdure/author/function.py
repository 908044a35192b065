"""`@function` (and `step`, the same under another name): a typed callable that can be a step.

Outside a workflow a function is a plain call. Inside the body of a workflow a call of an
``async def`` function, or ``.step(…)`` of any function, is a step: it is written into the journal,
executed by the worker, and its outcome, once recorded, is never produced again.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, cast, overload

from perdure.author.context import Context, current_context, outside
from perdure.author.keys import step_key
from perdure.author.registry import register
from perdure.core import duration
from perdure.core.codec import JSON
from perdure.core.contract import Contract
from perdure.core.errors import DeclarationError, NotInWorkflow
from perdure.core.retry import Retry
from perdure.core.run import Kind
from perdure.machine import Machine, current

P = ParamSpec("P")
R = TypeVar("R")

RetrySpec = int | Retry | Sequence[str | int | float | timedelta] | None
Duration = str | int | float | timedelta
OnCrash = Literal["retry", "fail"]

_UNSET: Any = object()


class Function(Generic[P, R]):
    """A declared function. Made by `@function`; `AsyncFunction` and `PlainFunction` are its forms.

    Attributes:
        fn: The callable as it was written.
        name: Its name in journals.
        contract: Its inputs and output.
        retry: When a failed attempt is followed by another one.
        timeout: How long one attempt may take, in µs; None: as long as it likes.
        on_crash: "retry": an attempt that was running when its worker died is run again (at least
            once). "fail": it is not, and the step fails with `StepInterrupted` (at most once).
    """

    kind = Kind.FUNCTION
    version = ""

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None,
        retries: RetrySpec,
        timeout: Duration | None,
        on_crash: OnCrash,
    ) -> None:
        self.fn = fn
        self.name = checked_name(name, fn)
        self.contract = _contract_of(fn)
        refuse_method(fn, self.contract)
        self.step_key: str | None = None
        self._set(retries=retries, timeout=timeout, on_crash=on_crash)
        functools.update_wrapper(self, fn)  # type: ignore[arg-type]  # any object will do

    def _set(self, *, retries: RetrySpec, timeout: Duration | None, on_crash: OnCrash) -> None:
        self.retry = Retry.of(retries)
        self.timeout = None if timeout is None else duration.parse(timeout)
        if self.timeout == 0:
            raise DeclarationError(f"timeout={timeout!r} of {self.name}() leaves no time at all")
        if on_crash not in ("retry", "fail"):
            raise DeclarationError(
                f"on_crash={on_crash!r} of {self.name}() is neither 'retry' nor 'fail'"
            )
        self.on_crash: OnCrash = on_crash

    def options(
        self,
        *,
        retries: RetrySpec = _UNSET,
        timeout: Duration | None = _UNSET,
        on_crash: OnCrash = _UNSET,
        key: str | None = None,
    ) -> Self:
        """The same function with other options, for one call: ``charge.options(retries=5)(order)``.

        Args:
            retries, timeout, on_crash: As in `function`; by default as they are declared.
            key: Names the step explicitly; a replay that finds another key here stops as stuck.

        Raises:
            DeclarationError: An option cannot be kept.
        """
        varied = copy.copy(self)
        varied._set(
            retries=self.retry if retries is _UNSET else retries,
            timeout=varied._timeout_option() if timeout is _UNSET else timeout,
            on_crash=self.on_crash if on_crash is _UNSET else on_crash,
        )
        varied.step_key = step_key(key, self.name)
        return varied

    def _timeout_option(self) -> timedelta | None:
        return None if self.timeout is None else timedelta(microseconds=self.timeout)

    async def step(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run as a step of the workflow in whose body this is called, and wait for the outcome.

        Args:
            args, kwargs: What the function takes, without what is injected.

        Returns:
            What the function returned, decoded from the journal.

        Raises:
            NotInWorkflow: Called outside the body of a workflow.
            ContractError, EncodingError: The arguments do not fit the contract.
            StepTimeout: Its last attempt took too long.
            StepInterrupted: Its worker died, and it is declared with `on_crash="fail"`.
            StepError: It raised, and its own exception cannot be rebuilt here.
        """
        machine = current()
        if machine is None:
            raise NotInWorkflow(
                f"{self.name}.step(…) works only in the body of a workflow; "
                f"outside of one call {self.name}(…) itself"
            )
        return await self._as_step(machine, args, kwargs)

    async def _as_step(self, machine: Machine, args: Any, kwargs: Any) -> R:
        payload = self.contract.encode_input(JSON, args, kwargs)
        outcome: R = await machine.call_step(self.name, payload, self, self.step_key)
        return outcome

    # What a machine needs to turn an outcome into a value (`machine.Target`).

    def decode(self, value: str) -> object:
        return self.contract.decode_output(JSON, value)

    def decode_error(self, value: str) -> BaseException:
        return JSON.decode_error(value)

    # What a worker needs to run an attempt.

    def bind_injected(self, kwargs: dict[str, Any], context: Context) -> dict[str, Any]:
        """Add the injected parameters to the keyword arguments of a call."""
        for parameter in self.contract.injected:
            kwargs.setdefault(parameter, context)
        return kwargs

    def _plain_call(self, args: Any, kwargs: Any) -> Any:
        if self.contract.injected:
            kwargs = self.bind_injected(dict(kwargs), current_context() or outside())
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function {self.name} of {self.fn.__module__}>"


class AsyncFunction(Function[P, R]):
    """A declared ``async def``: in the body of a workflow ``await charge(order)`` is a step."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        machine = current()
        if machine is None:
            return cast("Coroutine[Any, Any, R]", self._plain_call(args, kwargs))
        return self._as_step(machine, args, kwargs)


class PlainFunction(Function[P, R]):
    """A declared plain ``def``: in the body of a workflow it is called ``await f.step(…)``."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if current() is not None:
            raise NotInWorkflow(
                f"{self.name}() is a plain def and would block the workflow without being "
                f"recorded; write: await {self.name}.step(…)"
            )
        return cast(R, self._plain_call(args, kwargs))


# An async def is also a callable that returns something; the first overload that fits counts.
@overload
def function(  # type: ignore[overload-overlap]
    fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
) -> AsyncFunction[P, R]: ...
@overload
def function(  # type: ignore[overload-overlap]
    fn: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncFunction[P, R]: ...
@overload
def function(fn: Callable[Concatenate[Context, P], R], /) -> PlainFunction[P, R]: ...
@overload
def function(fn: Callable[P, R], /) -> PlainFunction[P, R]: ...
@overload
def function(
    *,
    name: str | None = None,
    retries: RetrySpec = 0,
    timeout: Duration | None = None,
    on_crash: OnCrash = "retry",
) -> FunctionDecorator: ...
def function(
    fn: Any = None,
    /,
    *,
    name: str | None = None,
    retries: RetrySpec = 0,
    timeout: Duration | None = None,
    on_crash: OnCrash = "retry",
) -> Any:
    """Declare a typed callable as a function that Perdure can run; with or without parentheses.

    Args:
        name: Its name in journals; the callable's own name by default. Keep it when you rename the
            callable, or unfinished runs will not find their steps.
        retries: What follows a failed attempt: a number (3: up to four attempts with growing
            pauses), a list of pauses, or a `Retry`. 0 by default: the error goes to the workflow.
        timeout: How long one attempt may take: "30s", seconds or a timedelta; None: as long as it
            likes. An async function is cancelled; a plain one is abandoned in its thread, and its
            late outcome is refused.
        on_crash: What becomes of an attempt that was running when its worker died. "retry": it is
            run again (at least once). "fail": it is not, and the step fails with
            `StepInterrupted` (at most once).

    Raises:
        DeclarationError: An option cannot be kept, or the signature cannot be a contract.

    >>> from perdure import function
    >>>
    >>>
    >>> @function(retries=3, timeout="30s")
    ... async def charge(order: str, cents: int) -> str:
    ...     return f"receipt for {order}"
    """

    def declare(target: Callable[..., Any]) -> Function[Any, Any]:
        if isinstance(target, Function):
            raise DeclarationError(f"{target.name} is declared as a function already")
        if not callable(target) or not hasattr(target, "__qualname__"):
            raise DeclarationError(f"@function needs a def or async def, not {target!r}")
        contract = _contract_of(target)
        declared = _form(contract)(
            target, name=name, retries=retries, timeout=timeout, on_crash=on_crash
        )
        register(declared)
        return declared

    return declare if fn is None else declare(fn)


step = function
"""The same decorator under the name that reads well beside a workflow."""


class FunctionDecorator:
    """The type of ``function(…)`` with options (for type checkers; never instantiated)."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R], /) -> PlainFunction[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> PlainFunction[P, R]: ...
    def __call__(self, fn: Any, /) -> Any: ...


def _form(contract: Contract) -> Callable[..., Function[Any, Any]]:
    return AsyncFunction if contract.is_async else PlainFunction


def _contract_of(fn: Callable[..., Any]) -> Contract:
    contract = Contract.of(fn)
    if contract.is_generator:
        raise DeclarationError(
            f"{fn.__qualname__}() is a generator; streaming functions cannot be steps yet: "
            "return a list"
        )
    return contract


def refuse_method(fn: Callable[..., Any], contract: Contract) -> None:
    """Refuse a function of a class that wants the object or the class as its first input.

    Raises:
        DeclarationError: It is one.
    """
    around = fn.__qualname__.rpartition(".")[0]
    first = next(iter(contract.inputs), "")
    if around and not around.endswith("<locals>") and first in ("self", "cls"):
        raise DeclarationError(
            f"{fn.__qualname__}() is a method, and nobody would be there to give it its {first}; "
            "declare a function outside of the class, or with @staticmethod on top and without "
            f"{first}"
        )


def checked_name(name: str | None, fn: Callable[..., Any]) -> str:
    """The name under which a callable is declared.

    Raises:
        DeclarationError: It is no name.
    """
    if name is None:
        name = fn.__name__
        if name == "<lambda>":
            raise DeclarationError(
                "a lambda has no name to be found by; write a def, or give name=…"
            )
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > 200:
        raise DeclarationError(f"name={name!r} is not a name: use up to 200 printable characters")
    return name
