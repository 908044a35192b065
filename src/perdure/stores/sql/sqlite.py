"""SQLite: one file, one connection per store, and sentences for everything that can be wrong.

What is particular here:

- WAL, so that readers never wait. `synchronous` is FULL (what is acknowledged survives a power
  cut) or NORMAL (it survives the death of the process).
- Every write begins with BEGIN IMMEDIATE: it has the database for itself from its first read, so
  what was decided is still true when it is written. Waiting for others is SQLite's busy handler.
- A connection must not cross a fork: the child has the parent's files, but not its locks. So a
  fork waits until no verb is under way, and the child closes its copy and opens its own when it
  needs one.
- A log that grows makes the disk write down its new length with every commit, which costs a third
  of the rate; SQLite makes the log anew whenever nobody had the database open. So who commits a
  lot gives the log its full length at once (`_lengthen_log`).
- A database is looked at before anything in it is changed: a foreign file stays as it is.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Concatenate, Literal, ParamSpec, TypeVar

from perdure._version import __version__
from perdure.core.errors import StoreError, StoreUnavailable, StoreUnusable
from perdure.stores.clock import host_now
from perdure.stores.sql import forks, schema
from perdure.stores.sql.database import Params, Record, Session
from perdure.stores.sql.poke import Pokes, SocketListener

P = ParamSpec("P")
T = TypeVar("T")

_CACHED_STATEMENTS = 256
_MANY_COMMITS = 30
"""After so many commits a connection is taken to be one of a host or worker, and not of a command."""
_LOG_BYTES = 32 + 1100 * (4096 + 24)
"""What the log grows to by itself: SQLite starts over in it after 1,000 pages and some."""


class SqliteSession:
    """One cursor, used for everything: a new one per statement costs more than the statement."""

    locks_rows = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._cursor = connection.cursor()
        self._execute = self._cursor.execute

    def run(self, sql: str, params: Params = ()) -> int:
        return self._execute(sql, params).rowcount

    def many(self, sql: str, rows: Sequence[Params]) -> int:
        return self._cursor.executemany(sql, rows).rowcount

    def one(self, sql: str, params: Params = ()) -> Record | None:
        record: Record | None = self._execute(sql, params).fetchone()
        return record

    def all(self, sql: str, params: Params = ()) -> list[Record]:
        return self._execute(sql, params).fetchall()


class SqliteDatabase:
    """A SQLite file."""

    now = staticmethod(host_now)

    def __init__(
        self,
        path: str,
        *,
        durability: Literal["full", "process"] = "full",
        create: bool = True,
        busy_timeout: float = 5.0,
    ) -> None:
        self.path = os.path.abspath(path)
        self.url = f"sqlite://{self.path}"
        self._synchronous = "FULL" if durability == "full" else "NORMAL"
        self._create = create
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._session: SqliteSession | None = None
        self._closed = False
        self._read_only: str | None = None
        self._file: tuple[int, int] | None = None
        self._commits = 0
        self._pokes = Pokes(self.path)
        with self._lock:
            self._ready()
        forks.watch(self)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._disconnect()
            self._pokes.close()

    def read(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with self._lock:
            session = self._session or self._ready()
            try:
                return verb(session, *args, **kwargs)
            except sqlite3.Error as error:
                raise self._explained(error) from error

    def write(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with self._lock:
            session = self._writable()
            self._check_file()
            return self._transact(session, verb, *args, **kwargs)

    def write_lightly(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with self._lock:
            session = self._writable()
            self._check_file()
            if self._synchronous != "FULL":
                return self._transact(session, verb, *args, **kwargs)
            try:
                session.run("PRAGMA synchronous = NORMAL")
                return self._transact(session, verb, *args, **kwargs)
            except sqlite3.Error as error:
                raise self._explained(error) from error
            finally:
                self._sync_fully()

    def write_alone(self, sql: str, params: Params) -> int:
        with self._lock:
            session = self._writable()
            try:
                touched = session.run(sql, params)
            except sqlite3.Error as error:
                self._roll_back()
                raise self._explained(error) from error
            self._commits += 1
            if self._commits == _MANY_COMMITS:
                self._lengthen_log(session)
            return touched

    def _transact(
        self,
        session: SqliteSession,
        verb: Callable[Concatenate[Session, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        try:
            session.run("BEGIN IMMEDIATE")
            answer = verb(session, *args, **kwargs)
            session.run("COMMIT")
            self._commits += 1
            if self._commits == _MANY_COMMITS:
                self._lengthen_log(session)
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise self._explained(error) from error
            raise
        return answer

    def poke(self) -> None:
        self._pokes.poke()

    def listen(self) -> SocketListener:
        try:
            return self._pokes.listen()
        except OSError as error:
            raise StoreUnavailable(
                f"no socket for pokes could be made for the database {self.path}: {error}"
            ) from error

    # --- connections -----------------------------------------------------------------------------

    def _ready(self) -> SqliteSession:
        """The session, opened if there is none; called with the lock held."""
        if self._closed:
            raise StoreUnavailable(f"the store {self.url} is closed; open it again")
        if self._session is None:
            self._look_at_path()
            try:
                self._connection = sqlite3.connect(
                    self.path,
                    timeout=self._busy_timeout,
                    isolation_level=None,
                    check_same_thread=False,
                    cached_statements=_CACHED_STATEMENTS,
                )
                self._prepare(self._connection)
                self._file = _file_id(self.path)
                self._session = SqliteSession(self._connection)
            except sqlite3.Error as error:
                self._disconnect()
                raise self._explained(error) from error
            except BaseException:
                self._disconnect()
                raise
        return self._session

    def _writable(self) -> SqliteSession:
        """The session, if this version may write; called with the lock held."""
        session = self._session or self._ready()
        if self._read_only is not None:
            raise StoreUnusable(self._read_only)
        return session

    def _check_file(self) -> None:
        """Refuse to go on with a file that nobody finds any more.

        SQLite would write into it for ever, and all that would be gone with this process. This is
        asked wherever something begins or ends, or a worker renews its lease, but not for every
        step (`write_alone`).
        """
        try:
            is_there = _file_id(self.path) == self._file
        except FileNotFoundError:
            is_there = False
        if not is_there:
            self._read_only = (
                f"the database {self.path} was deleted or replaced while it was open; nothing more "
                "is written to it: start this program again"
            )
            raise StoreUnusable(self._read_only)

    def _sync_fully(self) -> None:
        """End what `write_lightly` began; a connection with which that fails is given up."""
        if self._session is not None:
            try:
                self._session.run("PRAGMA synchronous = FULL")
            except sqlite3.Error:
                self._disconnect()

    def _look_at_path(self) -> None:
        """Refuse in words what SQLite only calls "unable to open database file"."""
        folder = os.path.dirname(self.path)
        if os.path.isdir(self.path):
            raise StoreUnusable(f"{self.path} is a folder; name a file in it for the database")
        if not os.path.isdir(folder):
            raise StoreUnusable(
                f"the folder {folder} of the database {self.path} does not exist; make it first"
            )
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise StoreUnusable(
                f"the database {self.path} is on a read-only file system; mount it writable, or let "
                "PERDURE_STORE name a copy elsewhere"
            )
        if not os.path.exists(self.path):
            if not self._create:
                raise StoreUnusable(
                    f"there is no database {self.path}; start a run first, or name another file"
                )
        elif not os.access(self.path, os.R_OK | os.W_OK):
            raise StoreUnusable(
                f"the database {self.path} cannot be read and written by this user; "
                "change its owner or mode, or work as its owner"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreUnusable(
                f"the folder {folder} cannot be written by this user, and the database "
                f"{os.path.basename(self.path)} needs files beside it; "
                "change its owner or mode, or name a database elsewhere"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Look whose database it is, make the tables if it is empty, and set the connection up."""
        if not _tables(connection):
            if not self._create:
                raise StoreUnusable(
                    f"the database {self.path} is empty; start a run first, or name another file"
                )
            self._switch_to_wal(connection)
            self._make_tables(connection)
        self._check(connection)
        self._switch_to_wal(connection)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if self._synchronous != "FULL":
            # Whoever does not wait for the disk at every commit need not do so every 1,000 pages.
            connection.execute("PRAGMA wal_autocheckpoint = 4000")

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not _tables(connection):  # else another process was faster
                for table in schema.TABLES:
                    connection.execute(table.format_map(schema.SQLITE_TYPES))
                connection.executemany(
                    "INSERT INTO meta (key, value) VALUES (?, ?)",
                    schema.first_rows(__version__, os.urandom(16).hex()),
                )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _check(self, connection: sqlite3.Connection) -> None:
        meta: dict[str, str] = {}
        if {"meta", "runs", "journal"} <= _tables(connection):
            meta = _meta(connection)
        if not {"min_reader", "min_writer"} <= meta.keys():
            raise StoreUnusable(
                f"{self.path} is a database of something else than Perdure; it was left as it is. "
                "Name another file"
            )
        refusal = schema.refusal(meta, writing=False)
        if refusal is not None:
            raise StoreUnusable(f"the database {self.path} {refusal}")
        refusal = schema.refusal(meta, writing=True)
        self._read_only = refusal and f"the database {self.path} {refusal}"

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        """Two processes that switch at once are both told "locked" without any waiting."""
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
                continue
            if mode != "wal":
                raise StoreUnusable(
                    f"the database {self.path} cannot keep a write-ahead log (its journal mode "
                    f"stays {mode!r}); put it on a local disk"
                )
            return

    def _lengthen_log(self, session: SqliteSession) -> None:
        """Write zeros behind the end of the log, which SQLite takes for the end of what is valid.

        The transaction keeps all others from writing into the log meanwhile.
        """
        try:
            session.run("BEGIN IMMEDIATE")
            with open(f"{self.path}-wal", "r+b", buffering=0) as log:
                missing = _LOG_BYTES - log.seek(0, os.SEEK_END)
                if missing > 0:
                    log.write(bytes(missing))
                    os.fsync(log)
        except (OSError, sqlite3.Error):
            pass  # a full disk, a busy database: then the log grows as it always does
        finally:
            self._roll_back()

    def _disconnect(self) -> None:
        connection, self._connection, self._session = self._connection, None, None
        if connection is not None:
            connection.close()

    def _roll_back(self) -> None:
        """Undo what a failed verb left open; a connection that cannot do that is given up."""
        if self._connection is None or not self._connection.in_transaction:
            return
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._disconnect()

    # --- forks -----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._disconnect()
        self._pokes.close()

    # --- sentences -------------------------------------------------------------------------------

    def _explained(self, error: sqlite3.Error) -> StoreError:
        """The error of the port for an error of the driver: what happened, where, the mend."""
        code = _code(error)
        the_database = f"the database {self.path}"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreUnavailable(
                f"{the_database} was locked by another process for {self._busy_timeout:g} s; "
                "try again, or find who keeps a transaction open (fuser shows who has the file)"
            )
        if code == sqlite3.SQLITE_FULL:
            return StoreUnavailable(
                f"{the_database} cannot grow: the disk is full ({error}); "
                "make room, nothing was written and what was stored before is safe"
            )
        if code == sqlite3.SQLITE_IOERR:
            return StoreUnavailable(
                f"{the_database} could not be written or read ({error}): the disk is full, at a "
                "limit or failing; nothing was written, look at the disk and try again"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreUnusable(
                f"{self.path} is not a database that SQLite can read ({error}); "
                "it was left as it is: restore a copy, or name another file"
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return StoreUnusable(
                f"{the_database} cannot be opened for writing ({error}); "
                "look at the modes of the file and its folder, or name a database elsewhere"
            )
        if code == sqlite3.SQLITE_TOOBIG:
            return StoreError(
                f"a value is too large for {the_database} ({error}); "
                "keep what is so large in a file and store its path"
            )
        return StoreError(f"{the_database} refused a statement: {error}")


def _file_id(path: str) -> tuple[int, int]:
    """What a path stands for just now."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _code(error: sqlite3.Error) -> int:
    """The primary result code of an error, or -1: not every error of the driver has one."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }


def _meta(connection: sqlite3.Connection) -> dict[str, str]:
    """What `meta` holds; {} if there is a table of that name with other columns."""
    try:
        return dict(connection.execute("SELECT key, value FROM meta").fetchall())
    except sqlite3.OperationalError as error:
        if _code(error) == sqlite3.SQLITE_ERROR:
            return {}
        raise
