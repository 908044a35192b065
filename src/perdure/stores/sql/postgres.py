"""PostgreSQL: a schema named `perdure` in a database that others may use, too.

What is particular here:

- Writers run side by side. A verb locks the rows that it decides about, in the order of their
  TIDs, in READ COMMITTED: what it reads after the lock is the last word. Where two verbs still
  wait for each other, the database picks a victim, and the verb is run again from its beginning.
- Time is the database's: asked for now and then, and counted on from there by this process.
- Pokes are NOTIFY, and listening has a connection and a thread of its own, so that a lost
  connection is made again without anybody noticing more than one poke too many.
- `synchronous_commit` is off for "process" (the server may lose its last moments in a power cut of
  its own), and for "full" what the server says, unless that is off.
- A commit whose answer is lost may have been made: that is `StoreUnavailable`, and whoever
  repeats the turn says so. A connection that was lost while nothing was under way is replaced.
"""

from __future__ import annotations

import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from perdure._version import __version__
from perdure.core.errors import SettingsError, StoreError, StoreUnavailable, StoreUnusable
from perdure.stores.sql import forks, schema
from perdure.stores.sql.database import Params, Record, Session

try:
    import psycopg
    from psycopg import errors as pg
    from psycopg import sql as pg_sql
except ImportError as error:
    raise SettingsError(
        "a postgresql:// store needs the driver psycopg, which is not installed here; "
        "pip install 'perdure[postgres]'"
    ) from error

P = ParamSpec("P")
T = TypeVar("T")
Connection = psycopg.Connection[Record]

_SCHEMA = "perdure"
_CHANNEL = "perdure"
_CREATION_LOCK = 0x70657264757265  # "perdure"
_TRIES = 10
"""How often a verb is run that the database chose as the victim of a deadlock."""
_SYNC_EVERY = 30.0
"""How long (seconds) this process counts time by itself before it asks the database again."""
_CONNECT_TIMEOUT = 10
_RECONNECT = (0.1, 0.5, 2.0, 5.0)
"""How long a listener waits between its tries to connect again (seconds)."""

_COMMITS = {
    "full": (
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    ),
    "process": "SET synchronous_commit TO off",
}

_DATABASE_NOW = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT"


class PostgresSession:
    """A connection; statements are prepared by the driver when they come again."""

    locks_rows = True

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, sql: str, params: Params = ()) -> int:
        return self._connection.execute(_own(sql), params).rowcount

    def many(self, sql: str, rows: Sequence[Params]) -> int:
        with self._connection.cursor() as cursor:
            cursor.executemany(_own(sql), rows)
            return cursor.rowcount

    def one(self, sql: str, params: Params = ()) -> Record | None:
        return self._connection.execute(_own(sql), params).fetchone()

    def all(self, sql: str, params: Params = ()) -> list[Record]:
        return self._connection.execute(_own(sql), params).fetchall()


@cache
def _own(sql: str) -> pg_sql.SQL:
    """A statement in PostgreSQL's words: its placeholders, and what other databases skip."""
    text = re.sub(r"/\*(.*?)\*/", r"\1", sql).replace("?", "%s")
    return pg_sql.SQL(text)  # pyright: ignore[reportArgumentType] the text is ours, no literal


class PostgresDatabase:
    """A PostgreSQL database."""

    def __init__(
        self,
        url: str,
        *,
        durability: Literal["full", "process"] = "full",
        create: bool = True,
    ) -> None:
        self.url = _without_password(url)
        self._conninfo = url
        self._set_up = f"SET search_path TO {_SCHEMA}; {_COMMITS[durability]}"
        self._create = create
        self._name = os.urandom(8).hex()
        """By this a listener knows the pokes of its own Store object."""
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False
        self._offset = 0
        self._synced_at = -_SYNC_EVERY
        self._last = 0
        self._read_only: str | None = None
        with self._lock:
            try:
                self._prepare(self._ready())
            except BaseException:
                self._disconnect()
                raise
        forks.watch(self)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._disconnect()

    def now(self) -> int:
        if time.monotonic() - self._synced_at >= _SYNC_EVERY:
            with self._lock:
                self._sync()
        self._last = max(self._last, time.monotonic_ns() // 1000 + self._offset)
        return self._last

    def read(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with self._lock:
            try:
                return verb(PostgresSession(self._ready()), *args, **kwargs)
            except psycopg.Error as error:
                if not self._is_lost():
                    raise self._explained(error) from error
            try:  # nothing was changed, so once more over another connection
                return verb(PostgresSession(self._ready()), *args, **kwargs)
            except psycopg.Error as error:
                raise self._explained(error) from error

    def write(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with self._lock:
            if self._read_only is not None:
                raise StoreUnusable(self._read_only)
            for tries_left in reversed(range(_TRIES)):
                connection = self._begin()
                try:
                    answer = verb(PostgresSession(connection), *args, **kwargs)
                    connection.execute("COMMIT")
                except (pg.DeadlockDetected, pg.SerializationFailure) as error:
                    self._roll_back()
                    if not tries_left:
                        raise self._explained(error) from error
                except psycopg.Error as error:
                    self._roll_back()
                    raise self._explained(error) from error
                except BaseException:
                    self._roll_back()
                    raise
                else:
                    return answer
            raise AssertionError("the last try returns or raises")

    def write_lightly(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return self.write(verb, *args, **kwargs)  # workers outlive a power cut of the database

    def write_alone(self, sql: str, params: Params) -> int:
        """One round trip: the connection is in autocommit, so the statement is the transaction.

        It is sent over a connection of which nothing was heard. One that was lost meanwhile has
        said so, and is found lost by the `BEGIN` of `write`, before anything was sent that could be
        written twice. Lost later, the statement may have been committed: that is
        `StoreUnavailable`, as after a `COMMIT`.
        """
        with self._lock:
            if self._is_calm():
                try:
                    return PostgresSession(self._ready()).run(sql, params)
                except (pg.DeadlockDetected, pg.SerializationFailure):
                    pass  # undone by the database, and tried again below
                except psycopg.Error as error:
                    if self._is_lost():
                        self._disconnect()
                    raise self._explained(error) from error
                except BaseException:
                    self._disconnect()  # the answer is not waited for, and fits no other question
                    raise
        return self.write(_run, sql, params)

    def poke(self) -> None:
        if not self._lock.acquire(timeout=0.05):
            return  # a verb is under way for long; who listens looks by itself
        try:
            if self._connection is not None and not self._closed:
                self._connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, self._name))
        except psycopg.Error:
            return
        finally:
            self._lock.release()

    def listen(self) -> PostgresListener:
        return PostgresListener(self._connect, self._name)

    # --- connections -----------------------------------------------------------------------------

    def _ready(self) -> Connection:
        """The connection, made if there is none; called with the lock held."""
        if self._closed:
            raise StoreUnavailable(f"the store {self.url} is closed; open it again")
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection:
        try:
            connection: Connection = psycopg.connect(
                self._conninfo, autocommit=True, connect_timeout=_CONNECT_TIMEOUT
            )
            connection.execute(pg_sql.SQL(self._set_up))  # pyright: ignore[reportArgumentType]
        except psycopg.Error as error:
            if isinstance(error, psycopg.ProgrammingError):
                raise SettingsError(f"{self.url!r} is no connection URL: {error}") from error
            raise StoreUnavailable(
                f"PostgreSQL at {self.url} cannot be reached: {_sentence(error)}; "
                "look whether it runs and whether host, database, user and password are right"
            ) from error
        return connection

    def _begin(self) -> Connection:
        """Begin a transaction, over another connection if this one was lost meanwhile."""
        try:
            connection = self._ready()
            connection.execute("BEGIN")
        except psycopg.Error as error:
            if not self._is_lost():
                raise self._explained(error) from error
            connection = self._ready()
            try:
                connection.execute("BEGIN")
            except psycopg.Error as again:
                raise self._explained(again) from again
        return connection

    def _is_calm(self) -> bool:
        """Whether there is a connection that may write, and nothing came over it unasked."""
        if self._connection is None or self._connection.closed or self._read_only is not None:
            return False
        ear = select.poll()
        ear.register(self._connection.fileno(), select.POLLIN)
        return not ear.poll(0)

    def _is_lost(self) -> bool:
        return self._connection is None or self._connection.broken or self._connection.closed

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._disconnect()

    def _sync(self) -> None:
        """Ask the database for the time; if it does not answer, this process counts on."""
        try:
            before = time.monotonic_ns()
            found = self._ready().execute(_DATABASE_NOW).fetchone()
            after = time.monotonic_ns()
        except (psycopg.Error, StoreUnavailable):
            if not self._offset:
                raise
        else:
            if found is not None:
                self._offset = int(found[0]) - (before + after) // 2000
        self._synced_at = time.monotonic()

    # --- tables ----------------------------------------------------------------------------------

    def _prepare(self, connection: Connection) -> None:
        """Make the tables if there are none, and look whose they are."""
        try:
            meta = _meta(connection)
            if meta is None and self._create:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATION_LOCK,))
                    if _meta(connection) is None:  # else another process was faster
                        self._make_tables(connection)
                meta = _meta(connection)
            self._sync()
        except psycopg.Error as error:
            raise self._explained(error) from error
        if meta is None:
            raise StoreUnusable(
                f"the database {self.url} has no tables of Perdure; start a run first"
            )
        for writing in (False, True):
            refusal = schema.refusal(meta, writing=writing)
            if refusal is not None and not writing:
                raise StoreUnusable(f"the database {self.url} {refusal}")
            self._read_only = refusal and f"the database {self.url} {refusal}"

    def _make_tables(self, connection: Connection) -> None:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
        for table in schema.TABLES:
            connection.execute(_own(table.format_map(schema.POSTGRES_TYPES)))
        for row in schema.first_rows(__version__, os.urandom(16).hex()):
            connection.execute("INSERT INTO meta (key, value) VALUES (%s, %s)", row)

    # --- forks -----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._connection = None  # not closed: that would say goodbye to the parent's session
        self._name = os.urandom(8).hex()

    # --- sentences -------------------------------------------------------------------------------

    def _explained(self, error: psycopg.Error) -> StoreError:
        """The error of the port for an error of the driver: what happened, where, the mend."""
        said = _sentence(error)
        if isinstance(error, (pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction)):
            return StoreUnusable(
                f"the database {self.url} cannot be written by this user ({said}); grant it the "
                f"schema {_SCHEMA}, or connect as its owner"
            )
        if isinstance(error, (pg.UndefinedTable, pg.UndefinedColumn, pg.InvalidSchemaName)):
            return StoreUnusable(
                f"the tables in the schema {_SCHEMA} of {self.url} are not those of Perdure "
                f"({said}); name another database"
            )
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return StoreUnavailable(
                f"PostgreSQL at {self.url} did not do it: {said}; try again (a turn that was "
                "being committed says that it is repeated)"
            )
        return StoreError(f"PostgreSQL at {self.url} refused a statement: {said}")


class PostgresListener:
    """An ear for NOTIFY: a thread hears, and makes a socket readable."""

    def __init__(self, connect: Callable[[], Connection], own_name: str) -> None:
        self._connect = connect
        self._own_name = own_name
        self._ear, self._mouth = socket.socketpair()
        self._end, self._ended = socket.socketpair()
        for each in (self._ear, self._mouth):
            each.setblocking(False)
        connection = self._listening()
        self._thread = threading.Thread(
            target=self._hear, args=(connection,), name="perdure-listener", daemon=True
        )
        self._thread.start()

    def fileno(self) -> int:
        return self._ear.fileno()

    def drain(self) -> None:
        with suppress(BlockingIOError):
            while self._ear.recv(4096):
                pass

    def close(self) -> None:
        if self._ear.fileno() == -1:
            return
        self._end.send(b"!")
        self._thread.join()
        for each in (self._ear, self._mouth, self._end, self._ended):
            each.close()

    def _listening(self) -> Connection:
        connection = self._connect()
        connection.execute(f"LISTEN {_CHANNEL}")
        return connection

    def _hear(self, connection: Connection | None) -> None:
        while connection is not None:
            try:
                if self._ends(connection, None):
                    break
                for notify in connection.notifies(timeout=0):
                    if notify.payload != self._own_name:
                        self._wake()
            except (psycopg.Error, OSError):
                connection.close()
                connection = self._again()
        if connection is not None:
            connection.close()

    def _again(self) -> Connection | None:
        """Connect again, and wake: a poke may have been missed. None: it is time to end."""
        waits = iter(_RECONNECT)
        wait = next(waits)
        while not self._ends(None, wait):
            try:
                connection = self._listening()
            except (psycopg.Error, StoreError):
                wait = next(waits, wait)
                continue
            self._wake()
            return connection
        return None

    def _ends(self, connection: Connection | None, timeout: float | None) -> bool:
        """Wait for the connection, or for the end; whether it is the end."""
        waited_for: list[Any] = [self._ended]
        if connection is not None:
            waited_for.append(connection)
        return self._ended in select.select(waited_for, [], [], timeout)[0]

    def _wake(self) -> None:
        with suppress(OSError):  # full is readable enough
            self._mouth.send(b"!")


def _meta(connection: Connection) -> dict[str, str] | None:
    """What `meta` holds; None if there is no such table yet."""
    found = connection.execute("SELECT to_regclass(%s)", (f"{_SCHEMA}.meta",)).fetchone()
    if found is None or found[0] is None:
        return None
    meta: dict[str, str] = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if not {"min_reader", "min_writer"} <= meta.keys():
        raise StoreUnusable(
            f"the schema {_SCHEMA} of this database belongs to something else than Perdure; it "
            "was left as it is. Name another database"
        )
    return meta


def _sentence(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _without_password(url: str) -> str:
    without = re.sub(r"(://[^:/@?]*):[^@/]*@", r"\1@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1…", without)


def _run(session: Session, sql: str, params: Params) -> int:
    return session.run(sql, params)
