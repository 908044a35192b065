"""The seam between the verbs and a database: sessions that execute, and transactions.

A verb is a function that takes a `Session` first. `Database.write` runs it in one transaction
that nobody else can write through (SQLite) or that may be run again from its beginning
(PostgreSQL, after a deadlock), so a verb has no effects but those on its session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from perdure.store import Listener

P = ParamSpec("P")
T = TypeVar("T")
Params = Sequence[Any]
Record = tuple[Any, ...]
"""What a driver returns for a row; `records` gives it types."""


class Session(Protocol):
    """A connection within a transaction (or, for reading, outside of one)."""

    locks_rows: bool
    """Whether writers run side by side, so that a verb locks what it decides about."""

    def run(self, sql: str, params: Params = ()) -> int:
        """Execute; how many rows it touched."""
        ...

    def many(self, sql: str, rows: Sequence[Params]) -> int:
        """Execute once for each of the parameters; how many rows that touched in all."""
        ...

    def one(self, sql: str, params: Params = ()) -> Record | None:
        """Execute, and return the only row, or None."""
        ...

    def all(self, sql: str, params: Params = ()) -> list[Record]:
        """Execute, and return all rows."""
        ...


class Database(Protocol):
    """Where the tables are."""

    url: str

    def close(self) -> None:
        """Let go of every connection; twice is fine."""
        ...

    def now(self) -> int:
        """The database's clock, or the host's where the database has none (µs)."""
        ...

    def read(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a verb that only reads."""
        ...

    def write(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a verb in a transaction: committed when this returns, undone if it raises."""
        ...

    def write_lightly(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a verb in a transaction that a power cut may take back, where that saves a wait.

        It is for what a worker notes about itself: a claim, its lease, progress. Whatever is built
        on such a note is committed by `write` later, in the same log, and that makes the note
        durable as well. A note that is lost before is one on which nothing durable was built, by a
        worker that the same power cut ended. So a database whose workers live elsewhere, and
        survive it, must not take this lightly: a claim that it forgot would give the same attempt
        to two workers.
        """
        ...

    def write_alone(self, sql: str, params: Params) -> int:
        """Execute a single statement that is its own transaction: committed when this returns,
        undone if it raises. Returns how many rows it touched."""
        ...

    def poke(self) -> None:
        """See `perdure.store.Store.poke`."""
        ...

    def listen(self) -> Listener:
        """See `perdure.store.Store.listen`."""
        ...
