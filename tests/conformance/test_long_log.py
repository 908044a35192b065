"""The write-ahead log that a busy connection gives its full length holds what any log holds."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from perdure.store import Store
from perdure.stores import open_store
from perdure.testing.conformance.scenes import a_row, a_turn, one_turn, with_held

MANY = 60
FULL_LENGTH = 4_000_000


def commit_many(store: Store, tid: int) -> None:
    for seq in range(MANY):
        one_turn(store, a_turn(tid, a_row(seq)))


def seqs(store: Store, tid: int) -> list[int]:
    return [row.seq for row in store.journal(tid)]


def test_a_power_cut_leaves_what_was_committed_before_and_after_it_was_lengthened(
    tmp_path: Path,
) -> None:
    """The files as they are at some moment are read by whoever opens them next."""
    with closing(open_store(str(tmp_path / "perdure.db"))) as store:
        with_held(store, 7)
        commit_many(store, 7)
        assert (tmp_path / "perdure.db-wal").stat().st_size > FULL_LENGTH
        after = tmp_path / "after"
        after.mkdir()
        for name in ("perdure.db", "perdure.db-wal"):
            shutil.copy(tmp_path / name, after / name)
    with closing(open_store(str(after / "perdure.db"))) as store:
        assert seqs(store, 7) == list(range(MANY))
        one_turn(store, a_turn(7, a_row(MANY)))
    with closing(sqlite3.connect(after / "perdure.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_it_is_lengthened_beside_what_others_write(tmp_path: Path) -> None:
    """A second connection that commits as much finds nothing overwritten, and overwrites nothing."""
    url = str(tmp_path / "perdure.db")
    with closing(open_store(url)) as one, closing(open_store(url)) as other:
        with_held(one, 7, 8)
        for seq in range(MANY):
            one_turn(one, a_turn(7, a_row(seq)))
            one_turn(other, a_turn(8, a_row(seq)))
        assert seqs(other, 7) == seqs(one, 8) == list(range(MANY))


def test_who_commits_little_leaves_it_short(tmp_path: Path) -> None:
    """A command that stores one run does not write megabytes."""
    with closing(open_store(str(tmp_path / "perdure.db"))) as store:
        with_held(store, 7)
        assert (tmp_path / "perdure.db-wal").stat().st_size < FULL_LENGTH
