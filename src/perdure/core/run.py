"""One durable execution and what may become of it.

Rules of this file:

1. One status set serves every kind of run. A run is *finished* when its status is final; a
   finished run never changes again.
2. `attempt` counts claims and fences every write of a worker. It means nothing else.
3. `crashes` counts workers that died while the run was `running`; progress resets it.
4. A run is held by a worker (`worker` is set) exactly while its status is `running`.
5. `wake_at` is when the next worker may claim the run: set while it is queued, blocked or waiting
   for a time; None while it is running, stuck, finished, or waits only for the outside world.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a run stands. The first five are unfinished, the others final."""

    QUEUED = "queued"
    """Waits for a worker to claim it."""
    RUNNING = "running"
    """A worker holds it."""
    WAITING = "waiting"
    """Waits for a time or for the outside world; nobody holds it."""
    BLOCKED = "blocked"
    """No worker that has seen it has its code; `reason` says what is missing."""
    STUCK = "stuck"
    """Parked until a person (or mended code) goes on with it; `reason` says why."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"
    CONTINUED = "continued"

    @property
    def is_final(self) -> bool:
        """Whether a run with this status is finished."""
        return self in FINAL


FINAL = frozenset(
    {
        Status.COMPLETED,
        Status.FAILED,
        Status.CANCELLED,
        Status.TERMINATED,
        Status.TIMED_OUT,
        Status.CONTINUED,
    }
)
CLAIMABLE = frozenset({Status.QUEUED, Status.WAITING, Status.BLOCKED})
"""A run with one of these statuses may be claimed once `wake_at` is due."""

JOURNAL_FORMAT = 1
"""The version of the shape of journal rows, written on every run."""


class Kind(StrEnum):
    """What a run executes."""

    WORKFLOW = "workflow"
    FUNCTION = "function"


@dataclass(slots=True, kw_only=True)
class NewRun:
    """A run about to be stored; not changed once made (not frozen: that would cost four times as
    much, and every start makes one).

    Attributes:
        tid: Its id, chosen by whoever starts it; a retried submit keeps it.
        name, version: Which workflow or function; `version` is "" unless the code names one.
        input: The encoded input (JSON text), checked against the contract.
        source: Where the code can be imported from: "package.module" or "file:/abs/path.py".
        at: When it was started (µs, store time); for a run that is not held, also when it may be
            claimed first.
        worker: The worker that holds it from birth (attempt 1), or None: it is queued.
        key: Idempotency key, unique per namespace and name; None for none.
        parent, parent_ordinal: The run and the call that started it, for a child.
        chain: The first run of its chain; None: its own TID, it continues no other.
    """

    tid: int
    kind: Kind
    name: str
    input: str
    at: int
    version: str = ""
    source: str = ""
    namespace: str = "default"
    queue: str = "default"
    key: str | None = None
    parent: int | None = None
    parent_ordinal: int | None = None
    worker: int | None = None
    chain: int | None = None
    python: str = ""


@dataclass(slots=True, kw_only=True)
class Run:
    """A run as the store has it: one row.

    Attributes (beside those of `NewRun`):
        status: See `Status`.
        attempt: How often it was claimed; the fence of every write.
        crashes: How often a worker died while it was running, since the last progress.
        worker: The worker that holds it, or None.
        wake_at: When it may be claimed (µs), or None.
        chain: The first run of its chain (its own TID unless it continues another).
        code: Fingerprint of the code that last parked it as stuck, or "".
        output: Encoded result of a completed run.
        error: Encoded error of a failed or cancelled one.
        reason: Why it is blocked or stuck, in one sentence.
        progress: The latest progress that a step told (JSON text), while it is running.
    """

    tid: int
    namespace: str
    kind: Kind
    name: str
    version: str
    source: str
    queue: str
    key: str | None
    parent: int | None
    parent_ordinal: int | None
    chain: int
    status: Status
    attempt: int
    crashes: int
    worker: int | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    wake_at: int | None
    python: str
    journal_format: int
    code: str
    input: str
    output: str | None
    error: str | None
    reason: str | None
    progress: str | None = None
