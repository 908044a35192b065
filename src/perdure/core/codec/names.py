"""The names of classes in written text, and the way back, without ever importing anything.

A class is written as "module:Qualified.Name" and found again only among the modules that are
loaded already, by plain look-ups that run no code of theirs. Text is data: it can name a class that
the program has, and never bring one in.

One file may be loaded under different names in different processes: as `__main__` where it is the
script, under another name where a worker loads it. `stands_for` says so, and the name that is
written is then the same everywhere.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable

_source_of: dict[str, str] = {}
_module_of: dict[str, str] = {}


def stands_for(module: str, source: str) -> None:
    """Say that the module loaded here under this name is written under another one.

    Args:
        module: Its name in `sys.modules`, such as "__main__".
        source: What every process calls it, such as "file:/srv/app.py" or "shop.orders".
    """
    _source_of[module] = source
    _module_of[source] = module


def name_of(cls: type) -> str:
    """The name under which a class is written."""
    module = cls.__module__
    return f"{_source_of.get(module, module)}:{cls.__qualname__}"


def class_of(name: str, known: Iterable[type] = ()) -> type | None:
    """The class with this name: one of those known, or one that a loaded module holds; or None."""
    for cls in known:
        if name_of(cls) == name:
            return cls
    source, _, qualified = name.rpartition(":")
    module = sys.modules.get(_module_of.get(source, source))
    if module is None:
        return None
    found: object = module
    for part in qualified.split("."):
        # A plain look-up: getattr() could run a module's __getattr__, which may import.
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) else None


def is_findable(cls: type) -> bool:
    """Whether the name of a class leads back to it."""
    return class_of(name_of(cls)) is cls


def names_around(qualified: str) -> dict[str, object]:
    """The names that are local to the function in which something is being declared.

    Args:
        qualified: The `__qualname__` of what is being declared.

    Returns:
        The local names of that function, if it is running just now; else nothing.
    """
    outside, _, _ = qualified.rpartition(".<locals>.")
    frame = inspect.currentframe() if outside else None
    while frame is not None and frame.f_code.co_qualname != outside:
        frame = frame.f_back
    return {} if frame is None else dict(frame.f_locals)
