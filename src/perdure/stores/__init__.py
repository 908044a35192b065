"""The backends of the port `perdure.store`, and the way to one of them from a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from perdure.core.errors import SettingsError

if TYPE_CHECKING:
    from perdure.store import Store

__all__ = ["Durability", "open_store"]

Durability = Literal["full", "process"]
"""What an acknowledged turn survives: a power cut of the machine that has the database ("full"), or
the death of the process."""


def open_store(
    url: str,
    *,
    durability: Durability = "full",
    create: bool = True,
    busy_timeout: float = 5.0,
) -> Store:
    """Open the store that a URL names; nothing that another backend needs is imported.

    Args:
        url: "memory:", "sqlite:///abs/path", a plain path to a SQLite file, or "postgresql://…".
        durability: What an acknowledged turn survives; memory does not look at it.
        create: Whether an empty database is given its tables, and a missing file is made.
        busy_timeout: How long SQLite waits for another process's transaction, in seconds.

    Raises:
        SettingsError: The URL, or the durability, is none that Perdure knows.
        StoreUnusable: The database is corrupt, foreign, read-only, newer or missing.
        StoreUnavailable: It is locked, full or cannot be reached now.
    """
    if durability not in ("full", "process"):
        raise SettingsError(f'durability is "full" or "process", not {durability!r}')
    if url in ("memory:", "memory://"):
        from perdure.stores.memory import MemoryStore

        return MemoryStore()
    if url.startswith(("postgresql://", "postgres://")):
        from perdure.stores.sql.postgres import PostgresDatabase
        from perdure.stores.sql.store import SqlStore

        return SqlStore(PostgresDatabase(url, durability=durability, create=create))
    from perdure.stores.sql.sqlite import SqliteDatabase
    from perdure.stores.sql.store import SqlStore

    return SqlStore(
        SqliteDatabase(
            _path_of(url), durability=durability, create=create, busy_timeout=busy_timeout
        )
    )


def _path_of(url: str) -> str:
    if url.startswith("sqlite:"):
        path = url.removeprefix("sqlite://")
        if path.startswith("/") and path.strip("/"):
            return path
        raise SettingsError(
            f'{url!r} names no file; write "sqlite:///absolute/path/to/file", or the path alone'
        )
    scheme, separator, _ = url.partition("://")
    if separator:
        raise SettingsError(
            f'no store is known for "{scheme}://" (in {url!r}); '
            'write "sqlite:///abs/path", a path, "postgresql://…" or "memory:"'
        )
    if not url:
        raise SettingsError('the URL of the store is empty; write a path, or "memory:"')
    return url
