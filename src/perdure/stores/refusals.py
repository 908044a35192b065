"""What a store says when it refuses a caller: one sentence each, the same from every backend."""

from __future__ import annotations

from perdure.core.errors import KeyConflict, LostLease, StoreError
from perdure.core.run import NewRun


def key_conflict(new: NewRun, holder: int) -> KeyConflict:
    """The key of `new` belongs to the run `holder`."""
    return KeyConflict(
        f"the key {new.key!r} of {new.name} belongs to run {holder}, which has another input; "
        "use another key, or the same input to get that run",
        tid=holder,
    )


def key_taken(new: NewRun, holder: int) -> KeyConflict:
    """The key of `new` belongs to the run `holder`, and the caller cannot be given that instead."""
    return KeyConflict(
        f"the key {new.key!r} of {new.name} belongs to run {holder}; "
        "a run with a key is started by `submit`, which answers with the run that has it",
        tid=holder,
    )


def not_registered(worker: int) -> LostLease:
    """A worker that was buried (or never registered) wants to hold runs."""
    return LostLease(
        f"worker {worker} is not registered: its lease ended and it was buried; "
        "it drops what it held and registers again under another id"
    )


def call_taken(new: NewRun, holder: int) -> StoreError:
    """The call of the parent that starts `new` has another child."""
    return StoreError(
        f"call {new.parent_ordinal} of run {new.parent} started run {holder} before, with another "
        f"name or input than {new.name}; a call starts one child only"
    )


def row_taken(tid: int, seq: int) -> StoreError:
    """A journal row is there."""
    return StoreError(
        f"row {seq} of the journal of run {tid} is there already; "
        "a turn that is repeated says so (`Turn.repeated`)"
    )
