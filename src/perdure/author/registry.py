"""Which workflows and functions this process knows, by name and version.

A name means one piece of code, be it a workflow or a function. Declaring the same code again (a reload, a notebook cell, a script
imported under a second name) replaces the old declaration; two different module-level callables
that claim one name are refused, because a run could be continued by the wrong one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from perdure.core.errors import DeclarationError
from perdure.core.run import Kind


class Definition(Protocol):
    """What the registry needs to know of a workflow or a function."""

    kind: Kind
    name: str
    version: str
    fn: Callable[..., Any]


_definitions: dict[tuple[str, str], Definition] = {}
_latest: dict[str, Definition] = {}
_changes = 0


def register(definition: Definition) -> None:
    """Make a definition known.

    Raises:
        DeclarationError: Its name and version belong to another module-level callable.
    """
    key = (definition.name, definition.version)
    other = _definitions.get(key)
    if other is not None and not _replaces(other.fn, definition.fn):
        version = f" version {definition.version!r}" if definition.version else ""
        raise DeclarationError(
            f"two callables are named {definition.name!r}{version}: "
            f"{_where(other.fn)} and {_where(definition.fn)}; give one of them name=…"
        )
    _definitions[key] = definition
    _latest[definition.name] = definition
    if other is None:
        _changed()


def find(name: str, version: str = "") -> Definition | None:
    """The definition with exactly this name and version, or None."""
    return _definitions.get((name, version))


def latest(name: str) -> Definition | None:
    """The definition of this name that was declared last, or None."""
    return _latest.get(name)


def known() -> list[Definition]:
    """All definitions, in the order in which their names were declared first."""
    return list(_definitions.values())


def changes() -> int:
    """How often names came and went: who has seen this number knows all names of today."""
    return _changes


def forget_gone() -> None:
    """Forget what was declared by modules that are not loaded: their import failed half-way, and
    half a module is no code to execute."""
    global _definitions, _latest
    loaded = [one for one in known() if one.fn.__module__ in sys.modules]
    if len(loaded) == len(_definitions):
        return
    # In one go: other threads ask meanwhile.
    _definitions = {(one.name, one.version): one for one in loaded}
    _latest = {one.name: one for one in loaded}
    _changed()


def _changed() -> None:
    global _changes
    _changes += 1


def _replaces(old: Callable[..., Any], new: Callable[..., Any]) -> bool:
    """Whether `new` is the same code as `old`, declared again."""
    if "<locals>" in old.__qualname__ or "<locals>" in new.__qualname__:
        return True
    if old.__qualname__ != new.__qualname__:
        return False
    return old.__module__ == new.__module__ or _file(old) == _file(new)


def _file(fn: Callable[..., Any]) -> str:
    code = getattr(fn, "__code__", None)
    return code.co_filename if code is not None else fn.__module__


def _where(fn: Callable[..., Any]) -> str:
    code = getattr(fn, "__code__", None)
    line = f":{code.co_firstlineno}" if code is not None else ""
    return f"{_file(fn)}{line}"
