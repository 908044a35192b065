"""Which project, which settings, which store: what a process talks to.

A process has one connection per project, made when it is first needed and kept; a host brings its
own. After a fork the child makes new ones.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from perdure.core.errors import StoreError
from perdure.project.discovery import introduce_main, source_of
from perdure.project.folder import Project, find_or_create
from perdure.project.settings import Settings, load
from perdure.stores import open_store

if TYPE_CHECKING:
    from perdure.store import Store

P = ParamSpec("P")
R = TypeVar("R")


def without_driver(ask: Callable[P, R]) -> Callable[P, R]:
    """Have the errors of the store come out of a function as their sentence alone.

    It says it all; where the driver noticed it is of no use to a user, and hides the sentence.
    """

    @functools.wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return ask(*args, **kwargs)
        except StoreError as error:
            raise error.with_traceback(None) from None

    return asked


class Connection:
    """A store with the settings by which it was found.

    Attributes:
        project: The project, or None for a store that was named outright.
        settings: How it works.
        store: The store, for this process's own questions.
    """

    def __init__(self, project: Project | None, settings: Settings, *, create: bool = True) -> None:
        self.project = project
        self.settings = settings
        introduce_main(self.root)
        self._sources: WeakKeyDictionary[object, str] = WeakKeyDictionary()
        self.store: Store = self._open(create=create)

    @without_driver
    def _open(self, *, create: bool) -> Store:
        return open_store(
            self.settings.store,
            durability="process" if self.settings.durability == "process" else "full",
            create=create,
        )

    def source_of(self, fn: object) -> str:
        """Where another process can import a callable from; "" for nowhere."""
        source = self._sources.get(fn)
        if source is None:
            source = self._sources[fn] = source_of(fn, self.root)
        return source

    @property
    def is_memory(self) -> bool:
        """Whether the store is the memory of this process."""
        return self.settings.store.startswith("memory:")

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self.project.root if self.project is not None else None

    def opener(self) -> Callable[[], Store]:
        """Opens the same store again, for another thread; the memory is always the same one."""
        if self.is_memory:
            store = self.store
            return lambda: store
        return lambda: self._open(create=True)

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()


_lock = threading.Lock()
_connections: dict[Path, Connection] = {}


def connect(project: Project | None = None, **overrides: object) -> Connection:
    """The connection of a project (by default: of the one around the current folder).

    Args:
        project: The project; None: found upward from the current folder, or made there.
        overrides: Settings that win over the environment and the file; with any of them the
            connection is a new one.
    """
    if project is None:
        project = find_or_create()
    if overrides:
        return Connection(project, load(project, overrides))
    with _lock:
        known = _connections.get(project.root)
        if known is None:
            known = _connections[project.root] = Connection(project, load(project))
        return known


def forget() -> None:
    """Close what was connected; for tests, and for programs that change folders."""
    with _lock:
        for connection in _connections.values():
            connection.close()
        _connections.clear()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _connections.clear()


os.register_at_fork(after_in_child=_after_fork)
