"""What steps did, written down outside of the store: one line per attempt that began."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from perdure import Context
from perdure.core.events import EventKind
from perdure.core.run import Run
from perdure.store import RunFilter, Store
from perdure.stores import open_store

LOG = "effects"


def note(context: Context) -> None:
    """Write that this attempt of this step begins; lines of several processes do not mix."""
    line = f"{context.tid} {context.step} {context.attempt} {os.getpid()}\n"
    file = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode())
    os.close(file)


@dataclass(frozen=True)
class Effect:
    """An attempt of a step that began."""

    tid: int
    step: int
    attempt: int
    pid: int

    @property
    def call(self) -> tuple[int, int, int]:
        return self.tid, self.step, self.attempt


def effects(project: Path) -> list[Effect]:
    """All attempts that began, in order."""
    try:
        # What is behind the last end of a line is being written just now.
        lines = (project / LOG).read_text().rpartition("\n")[0].splitlines()
    except FileNotFoundError:
        return []
    return [Effect(*map(int, line.split())) for line in lines]


OUTCOMES = {EventKind.STEP_COMPLETED, EventKind.STEP_FAILED, EventKind.STEP_RETRYING}


def recorded(store: Store) -> set[tuple[int, int, int]]:
    """The (TID, step, attempt) whose outcomes are in the journals."""
    found: set[tuple[int, int, int]] = set()
    for run in every_run(store):
        for row in store.journal(run.tid):
            event = row.event
            if event.kind in OUTCOMES:
                assert event.ordinal is not None
                assert event.step_attempt is not None
                found.add((run.tid, event.ordinal, event.step_attempt))
    return found


def every_run(store: Store) -> list[Run]:
    """All runs, whole."""
    found = store.runs(RunFilter(limit=100_000))
    return [run for brief in found if (run := store.get(brief.tid)) is not None]


def open_of(project: Path) -> Store:
    """The store of a project."""
    return open_store(str(project / ".perdure" / "perdure.db"))


def check_journals(store: Store) -> None:
    """Every journal is without gaps, every outcome is there once, and nothing is left over."""
    for run in every_run(store):
        rows = store.journal(run.tid)
        assert [row.seq for row in rows] == list(range(len(rows)))
        assert [row.at for row in rows] == sorted(row.at for row in rows)
        attempts = [row.attempt for row in rows]
        assert attempts == sorted(attempts)
        answers = [
            (row.event.kind, row.event.ordinal, row.event.step_attempt)
            for row in rows
            if row.event.ordinal is not None
        ]
        assert len(answers) == len(set(answers)), f"an outcome was recorded twice: {answers}"
        if run.status.is_final:
            assert store.inbox(run.tid) == []
            assert run.worker is None
