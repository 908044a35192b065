"""Reading what decisions look at.

A decision needs a third of the columns of a run. The driver describes every column of every SELECT
anew, which costs as much as reading it, so the others are left alone, and the runs of a batch are
read together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from perdure.core.decide import RunState
from perdure.core.run import Status
from perdure.stores.sql.database import Record, Session
from perdure.stores.sql.records import marks

STATE_COLUMNS = ", ".join(RunState.__struct_fields__)
_SELECT_STATE = f"SELECT {STATE_COLUMNS} FROM runs WHERE tid = ? /*FOR UPDATE*/"
_STATUS = {status.value: status for status in Status}
_GROUP = 64
"""So many runs are read by one statement. Smaller groups are filled up to a power of two, so that
there are few statements to prepare."""


def state_of(record: Record) -> RunState:
    """A run's state as `STATE_COLUMNS` have it."""
    return RunState(record[0], _STATUS[record[1]], *record[2:])


def read(session: Session, tid: int) -> RunState | None:
    """The state of a run, which is locked with it, or None."""
    record = session.one(_SELECT_STATE, (tid,))
    return None if record is None else state_of(record)


def read_locked(session: Session, tids: Collection[int]) -> dict[int, RunState]:
    """The states of runs that this transaction has locked, by TID; of an unknown one there is none."""
    states: dict[int, RunState] = {}
    for group in groups(tids):
        for record in session.all(
            f"SELECT {STATE_COLUMNS} FROM runs WHERE tid IN ({marks(len(group))})", group
        ):
            states[record[0]] = state_of(record)
    return states


def groups(tids: Collection[int]) -> Iterator[list[int]]:
    """TIDs for the lists of `IN (...)`, at most `_GROUP` in each; some may be named twice."""
    named = list(tids)
    for start in range(0, len(named), _GROUP):
        group = named[start : start + _GROUP]
        size = 1 << (len(group) - 1).bit_length()
        yield group + group[-1:] * (size - len(group))
