"""What a database does when its process forks: a connection must not be shared with the child.

A fork waits until no verb is under way, so that the child's copy of a connection is at rest; the
child then gives its copy up, and opens its own when it needs one.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forking(Protocol):
    """A database that wants to know of forks."""

    def before_fork(self) -> None:
        """Wait until nothing is under way, and let nothing begin."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...

    def after_fork_in_child(self) -> None:
        """Give up what belongs to the parent."""
        ...


_watched: weakref.WeakSet[Forking] = weakref.WeakSet()
_forking: list[Forking] = []


def watch(database: Forking) -> None:
    """Tell this database of forks for as long as it lives."""
    _watched.add(database)


def _before() -> None:
    _forking[:] = list(_watched)
    for database in _forking:
        database.before_fork()


def _in_parent() -> None:
    for database in _forking:
        database.after_fork_in_parent()
    _forking.clear()


def _in_child() -> None:
    for database in _forking:
        database.after_fork_in_child()
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
