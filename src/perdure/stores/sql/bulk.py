"""Many rows by one statement, for a verb that expects to write all of them.

A statement that is executed for many rows says only how many it wrote. That is enough as long as
it wrote all, which is nearly always so. If it did not, the verb is undone and played again with one
statement per row (`in_bulk` False), which finds out what was in the way of which, and answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from perdure.stores.sql.database import Database, Params, Session

P = ParamSpec("P")
T = TypeVar("T")


class FellShort(Exception):
    """A statement did not write all of its rows; never leaves this package."""


def write(
    database: Database,
    verb: Callable[Concatenate[Session, bool, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run a verb in a transaction, in bulk if that will do."""
    try:
        return database.write(verb, True, *args, **kwargs)
    except FellShort:
        return database.write(verb, False, *args, **kwargs)


def run(session: Session, sql: str, rows: Sequence[Params]) -> None:
    """Execute a statement that writes one row for each of the parameters.

    Raises:
        FellShort: It did not.
    """
    if rows and session.many(sql, rows) != len(rows):
        raise FellShort
