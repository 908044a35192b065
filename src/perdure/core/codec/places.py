"""Finding the place of what C code refused without saying where: bad text, a loop.

Only asked after something failed, so it may walk the whole value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from perdure.core.codec.untyped import key_shown

_ENOUGH = 1_000_000


def place_of_text(value: object, text: str) -> list[str]:
    """The path (innermost part first) to where this very text stands; [] if it is not found."""
    return _find(value, lambda one, _: isinstance(one, str) and one == text) or []


def place_of_loop(value: object) -> list[str] | None:
    """The path (innermost part first) to something that stands inside itself; None: nowhere."""
    return _find(value, lambda _, is_loop: is_loop)


def _find(value: object, is_it: Callable[[object, bool], bool]) -> list[str] | None:
    """The path to the first value, depth first, of which `is_it` says so.

    `is_it` is given the value, and whether it stands inside itself. No recursion: what is looked
    at here may be nested more deeply than Python's stack is.
    """
    path: list[str] = []
    around: list[int] = []
    stack: list[Iterator[tuple[str, object]]] = [iter([("", value)])]
    inside: set[int] = set()
    for _ in range(_ENOUGH):
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            if not stack:
                return None
            path.pop()
            inside.discard(around.pop())
            continue
        part, one = step
        is_loop = id(one) in inside
        if is_it(one, is_loop):
            return [part, *reversed(path)]
        if not is_loop and not isinstance(one, str | int | float | None):
            path.append(part)
            around.append(id(one))
            inside.add(id(one))
            stack.append(_inside(one))
    return None


def _inside(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[object, object]", value).items():
            yield f"[{key_shown(key)}]", key
            yield f"[{key_shown(key)}]", item
    elif isinstance(value, list | tuple):
        for index, item in enumerate(cast("list[object]", value)):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        for item in cast("set[object]", value):
            yield "{...}", item
    else:
        for name in _field_names(value):
            yield f".{name}", getattr(value, name, None)


def _field_names(value: Any) -> list[str]:
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    if hasattr(value, "__struct_fields__"):
        return list(value.__struct_fields__)
    return list(getattr(cast("Any", type(value)), "model_fields", ()))
