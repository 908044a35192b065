"""Reading a signature: annotations resolved, parameters told apart, what is streamed found.

Annotations may be text (`from __future__ import annotations`), name classes that are local to the
function around, stand under partials, methods and callable objects, or be missing altogether. What
cannot be resolved is refused by the name of the function and of the parameter.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, cast

from perdure.core.codec import Shape
from perdure.core.codec.names import names_around
from perdure.core.errors import DeclarationError

COLLECTED = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
"""The kinds of `*items` and `**extra`."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a function.

    Attributes:
        name: The parameter's name.
        kind: How it is passed (`inspect.Parameter.kind`).
        shape: What each value must be; for `*items` and `**extra`, what each of them must be.
        is_required: Whether a call must give it.
        default: What it is otherwise, or `inspect.Parameter.empty`.
        by_name: Whether it is always passed by name, because an injected parameter stands before
            it.
    """

    name: str
    kind: object
    shape: Shape
    is_required: bool
    default: object
    by_name: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What was read from a function; `Contract` explains the fields."""

    inputs: dict[str, Input]
    injected: dict[str, object]
    output: Shape
    chunks: Shape | None
    is_async: bool
    is_generator: bool


def read_signature(fn: Callable[..., object], name: str) -> Signature:
    """Read what a function takes and gives.

    Raises:
        DeclarationError: An annotation cannot be resolved or is not a type, or a parameter can
            never be given.
    """
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError) as error:
        raise DeclarationError(f"{name}() has no signature that can be read: {error}") from None
    hints = _hints(fn, name)
    inputs: dict[str, Input] = {}
    injected: dict[str, object] = {}
    for parameter in signature.parameters.values():
        hint = hints.get(parameter.name, Any)
        if _is_injected(hint):
            if parameter.kind is Parameter.POSITIONAL_ONLY:
                raise DeclarationError(
                    f"{name}() takes the injected {parameter.name!r} by position only; "
                    "Perdure passes it by name: put it behind the '/'"
                )
            injected[parameter.name] = hint
        else:
            inputs[parameter.name] = _input(name, parameter, hint, bool(injected))
    body = _body(fn)
    is_generator = inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body)
    returned = body if isinstance(body, type) else hints.get("return", Any)
    output, chunks = _outcome(returned, is_generator)
    return Signature(
        inputs=inputs,
        injected=injected,
        output=_shape(name, "its result", output),
        chunks=None if chunks is None else _shape(name, "its chunks", chunks),
        is_async=inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body),
        is_generator=is_generator,
    )


def name_of_function(fn: object) -> str:
    """What a function is called, under its partials."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return getattr(fn, "__name__", None) or type(fn).__name__


def _input(name: str, parameter: Parameter, hint: object, after_injected: bool) -> Input:
    if after_injected and parameter.kind is Parameter.VAR_POSITIONAL:
        raise DeclarationError(
            f"{name}() has an injected parameter before *{parameter.name}, and so none of these "
            "could be passed; put the injected one behind it"
        )
    if parameter.kind is Parameter.VAR_KEYWORD and typing.get_origin(hint) is typing.Unpack:
        hint = Any  # **extra: Unpack[TypedDict]; each key has a type of its own
    if parameter.default is None:
        hint = cast("Any", hint) | None if hint is not Any else Any  # x: int = None is meant so
    return Input(
        name=parameter.name,
        kind=parameter.kind,
        shape=_shape(name, repr(parameter.name), hint),
        is_required=parameter.default is Parameter.empty and parameter.kind not in COLLECTED,
        default=parameter.default,
        by_name=after_injected and parameter.kind is Parameter.POSITIONAL_OR_KEYWORD,
    )


def _shape(name: str, what: str, hint: object) -> Shape:
    try:
        return Shape.of(hint)
    except DeclarationError as error:
        raise DeclarationError(f"{name}() cannot have {what}: {error}") from None


def _is_injected(hint: object) -> bool:
    if typing.get_origin(hint) is typing.Annotated:
        base, *metadata = typing.get_args(hint)
        return _is_injected(base) or any(
            getattr(item, "__perdure_injected__", False) is True for item in metadata
        )
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(map(_is_injected, typing.get_args(hint)))
    origin = typing.get_origin(hint) or hint
    return isinstance(origin, type) and getattr(origin, "__perdure_injected__", False) is True


_STREAMS: tuple[object, ...] = (
    collections.abc.Iterator,
    collections.abc.AsyncIterator,
    collections.abc.Generator,
    collections.abc.AsyncGenerator,
)
_AWAITED: tuple[object, ...] = (collections.abc.Awaitable, collections.abc.Coroutine)


def _outcome(hint: Any, is_generator: bool) -> tuple[object, object | None]:
    """What is returned, and what is streamed (None for nothing), by the annotation of a result."""
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in _AWAITED:
        return _outcome(inner[-1] if inner else Any, is_generator)
    is_iterable = origin in (collections.abc.Iterable, collections.abc.AsyncIterable)
    if origin in _STREAMS or (is_generator and is_iterable):
        returned = inner[2] if origin is collections.abc.Generator and len(inner) > 2 else None
        return returned, inner[0] if inner else Any
    if is_generator:
        return None, Any
    return hint, None


def _body(fn: object) -> Any:
    """The function whose code runs, under partials, methods and callable objects."""
    while True:
        if isinstance(fn, functools.partial):
            fn = cast("Any", fn).func
        elif inspect.ismethod(fn):
            fn = fn.__func__
        elif not inspect.isroutine(fn) and not isinstance(fn, type):
            fn = cast("Any", type(fn)).__call__
        else:
            return fn


def _hints(fn: object, name: str) -> dict[str, Any]:
    """The annotations of a function, with names resolved: also those of classes that are local to
    the function in which this one is being declared."""
    body = inspect.unwrap(_body(fn))
    target = cast("Any", body).__init__ if isinstance(body, type) else body
    try:
        return _resolved(target, {})
    except Exception:  # noqa: BLE001 - an annotation is any expression
        local = _enclosing_names(target)
    try:
        return _resolved(target, local)
    except Exception as error:  # noqa: BLE001
        culprit = _culprit(target, local)
        raise DeclarationError(
            f"{name}() has an annotation that cannot be resolved, of {culprit}: {error}; "
            "define or import what it names at the top level of the module, not only under "
            "TYPE_CHECKING"
        ) from None


def _resolved(target: Any, local: dict[str, Any]) -> dict[str, Any]:
    return typing.get_type_hints(target, None, local or None, include_extras=True)


def _enclosing_names(target: Any) -> dict[str, Any]:
    found = names_around(getattr(target, "__qualname__", ""))
    closure = getattr(target, "__closure__", None) or ()
    names = target.__code__.co_freevars if closure else ()
    for free, cell in zip(names, closure, strict=True):
        try:
            found[free] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    return found


def _culprit(target: Any, local: dict[str, Any]) -> str:
    """Which annotation cannot be resolved, by trying each alone."""
    for name, annotation in getattr(target, "__annotations__", {}).items():
        probe = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            typing.get_type_hints(probe, getattr(target, "__globals__", None), local or None)
        except Exception:  # noqa: BLE001
            return "its result" if name == "return" else f"the parameter {name!r}"
    return "one of its parameters"
