"""The rate that nothing on this database can beat: one journal row per commit by the bare driver."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

_TABLE = """
    CREATE TABLE journal (
        tid INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, attempt INTEGER NOT NULL,
        kind TEXT NOT NULL, ordinal INTEGER, step_attempt INTEGER, due INTEGER, value TEXT,
        commands TEXT NOT NULL, PRIMARY KEY (tid, seq)
    ) WITHOUT ROWID"""
_INSERT = "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COMMANDS = '[{"do":"step","ordinal":1000,"name":"add_one","input":{"number": 1000}}]'


class RawCommits:
    """A database of its own with the journal's table, in the same mode as a store.

    Args:
        folder: Where its file is made.
        durability: As the setting of that name.
    """

    def __init__(self, folder: Path, durability: str) -> None:
        connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        mode = "FULL" if durability == "full" else "NORMAL"
        connection.execute(f"PRAGMA synchronous = {mode}")
        connection.execute(_TABLE)
        self._execute = connection.cursor().execute
        self._tid = 1838404614398617799

    def commit(self, rows: int) -> float:
        """Commit so many rows one by one; seconds."""
        self._tid += 1
        execute, tid, at = self._execute, self._tid, time.time_ns() // 1000
        began = time.perf_counter()
        for seq in range(rows):
            execute("BEGIN IMMEDIATE")
            execute(
                _INSERT, (tid, seq, at + seq, 1, "step_completed", seq, 1, None, "1000", _COMMANDS)
            )
            execute("COMMIT")
        return time.perf_counter() - began
