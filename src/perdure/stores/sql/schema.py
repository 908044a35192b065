"""The tables.

Rules of this file:

1. `SCHEMA` counts changes of the tables. `MIN_READER` and `MIN_WRITER` are the oldest schemas whose
   code may read, and write, tables of this one; a database carries all three in `meta`.
2. A column, once released, keeps its meaning. Text that a person can read, no codes.
3. A step costs one row in `journal`: no index is on a column of `runs` that a step changes, and
   indexes are partial, so that a run stands in those only that answer for its status.

Times are µs since the epoch. A text that is too long for its row stands in `blobs`, and the column
has "@" instead, which no JSON text begins with (`records.put`).
"""

from __future__ import annotations

SCHEMA = 1
MIN_READER = 1
MIN_WRITER = 1

TABLES = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    )""",
    """
    CREATE TABLE runs (
        tid {integer} PRIMARY KEY,
        namespace TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        source TEXT NOT NULL,
        queue TEXT NOT NULL,
        key TEXT,
        parent {integer},
        parent_ordinal {integer},
        chain {integer} NOT NULL,
        status TEXT NOT NULL,
        attempt {integer} NOT NULL,
        crashes {integer} NOT NULL,
        worker {integer},
        created_at {integer} NOT NULL,
        started_at {integer},
        finished_at {integer},
        wake_at {integer},
        python TEXT NOT NULL,
        journal_format {integer} NOT NULL,
        code TEXT NOT NULL,
        input TEXT NOT NULL,
        output TEXT,
        error TEXT,
        reason TEXT,
        progress TEXT
    )""",
    """
    CREATE UNIQUE INDEX runs_child ON runs (parent, parent_ordinal) WHERE parent IS NOT NULL""",
    """
    CREATE INDEX runs_due ON runs (namespace, queue, wake_at) WHERE wake_at IS NOT NULL""",
    """
    CREATE INDEX runs_held ON runs (worker) WHERE worker IS NOT NULL""",
    """
    CREATE INDEX runs_stuck ON runs (namespace, name) WHERE status = 'stuck'""",
    """
    CREATE TABLE journal (
        tid {integer} NOT NULL,
        seq {integer} NOT NULL,
        at {integer} NOT NULL,
        attempt {integer} NOT NULL,
        kind TEXT NOT NULL,
        ordinal {integer},
        step_attempt {integer},
        due {integer},
        value TEXT,
        commands TEXT NOT NULL,
        PRIMARY KEY (tid, seq)
    ) {clustered}""",
    """
    CREATE TABLE inbox (
        id {serial},
        tid {integer} NOT NULL,
        dedup_key TEXT NOT NULL,
        kind TEXT NOT NULL,
        ordinal {integer},
        value TEXT,
        is_read {integer} NOT NULL,
        UNIQUE (tid, dedup_key)
    )""",
    """
    CREATE INDEX inbox_unread ON inbox (tid, id) WHERE is_read = 0""",
    """
    CREATE TABLE keys (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        tid {integer} NOT NULL,
        input_hash TEXT NOT NULL,
        PRIMARY KEY (namespace, name, key)
    ) {clustered}""",
    """
    CREATE TABLE blobs (
        tid {integer} NOT NULL,
        seq {integer} NOT NULL,
        part TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (tid, seq, part)
    )""",
    """
    CREATE TABLE workers (
        id {integer} PRIMARY KEY,
        name TEXT NOT NULL,
        host TEXT NOT NULL,
        boot_id TEXT NOT NULL,
        pid_namespace TEXT NOT NULL,
        pid {integer} NOT NULL,
        started {integer} NOT NULL,
        lease_until {integer} NOT NULL,
        registered_at {integer} NOT NULL,
        namespace TEXT NOT NULL,
        serves TEXT NOT NULL,
        is_background {integer} NOT NULL,
        python TEXT NOT NULL
    )""",
)

SQLITE_TYPES = {
    "integer": "INTEGER",
    "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "clustered": "WITHOUT ROWID",
}
POSTGRES_TYPES = {
    "integer": "BIGINT",
    "serial": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "clustered": "",
}


def first_rows(version: str, store_id: str) -> list[tuple[str, str]]:
    """What `meta` holds in a new database."""
    return [
        ("schema", str(SCHEMA)),
        ("min_reader", str(MIN_READER)),
        ("min_writer", str(MIN_WRITER)),
        ("created_by", f"perdure {version}"),
        ("store_id", store_id),
    ]


def refusal(meta: dict[str, str], *, writing: bool) -> str | None:
    """Why tables with this `meta` cannot be read (or written) by this version; None: they can."""
    needed = int(meta["min_writer" if writing else "min_reader"])
    if needed <= SCHEMA:
        return None
    return (
        f"was made by a newer version ({meta.get('created_by', 'unknown')}): its schema is "
        f"{meta.get('schema')}, and {'writing' if writing else 'reading'} it takes {needed}, "
        f"where this version has {SCHEMA}; upgrade Perdure"
    )
