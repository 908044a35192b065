"""The port to the database: the few atomic verbs by which everything durable is done.

Each verb is *lock, read, decide, write* in one transaction; the deciding is done by the pure
functions of `core.decide`, so a backend holds no rules. Verbs are synchronous and may be called
from any thread, one at a time per `Store` object (a backend locks; the engine's committer keeps
slow verbs off the event loop). `now` is store time, µs since the epoch; verbs that decide by time
take it as an argument.

Errors: `StoreUnavailable` if the same call may succeed later (nothing was written, or, where the
answer to a COMMIT was lost, `turn` is told so by `Turn.repeated`); `StoreUnusable` if not.

The law of this port is `perdure.testing.conformance`: a verb is not done until the suite speaks
of it, and a backend is one when the suite passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a reading command opens a store without msgspec, which these modules import
    from perdure.core.decide import Retried, Turn, Verdict
    from perdure.core.events import Row
    from perdure.core.inbox import Delivered, Mail, NewMail
    from perdure.core.run import Kind, NewRun, Run, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of a `NewRun`: the TID it has, and whether it was stored by this call."""

    tid: int
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker as the store knows it.

    Attributes:
        id: Unique among all workers that ever were (a TID).
        name: For people: "host:pid" unless it was given one.
        host, boot_id, pid_namespace, pid, started: What proves on the same host that the process
            is dead (`started` is its start time in clock ticks since boot).
        lease_until: Its runs may be taken over after this (µs, store time).
        registered_at: Since when it works (µs).
        serves: Names of the runs that it can execute; None: whatever it can import.
        is_background: Whether the project started it for itself.
    """

    id: int
    name: str
    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: int
    lease_until: int
    registered_at: int
    namespace: str = "default"
    serves: tuple[str, ...] | None = None
    is_background: bool = False
    python: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Which runs a worker can take.

    Attributes:
        worker: Who claims.
        names: (name, version) of the runs it can execute.
        limit: At most so many.
        alone: False: only runs with fewer than `ALONE_AFTER_CRASHES` crashes. True: exactly one
            run, and one with that many.
    """

    worker: int
    names: Sequence[tuple[str, str]]
    limit: int
    namespace: str = "default"
    queues: Sequence[str] = ("default",)
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclaimed:
    """A run that is due and that a worker cannot take because it does not know its name."""

    tid: int
    kind: Kind
    name: str
    version: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list; None: any. Newest first; `before` pages on (TIDs below it)."""

    namespace: str | None = "default"
    statuses: Sequence[Status] | None = None
    name: str | None = None
    parent: int | None = None
    before: int | None = None
    limit: int = 50


class Listener(Protocol):
    """An ear for pokes: its file descriptor is readable when somebody poked the store."""

    def fileno(self) -> int:
        """A descriptor for select, poll or `loop.add_reader`."""
        ...

    def drain(self) -> None:
        """Take what has arrived, so that the descriptor is quiet again."""
        ...

    def close(self) -> None:
        """Stop listening; twice is fine."""
        ...


class Store(Protocol):
    """A database that holds runs."""

    url: str
    """What `open_store` was given, without its password."""

    def close(self) -> None:
        """Let go of the database; twice is fine."""
        ...

    def now(self) -> int:
        """Store time: µs since the epoch, UTC. The host's clock, or the database's in a fleet."""
        ...

    # --- starting and reading -----------------------------------------------------------------

    def submit(self, runs: Sequence[NewRun]) -> list[Submitted]:
        """Store runs, all or none.

        A run whose key is taken is not stored: its answer names the run that has the key. A TID
        that is there with the same name and input was submitted before: `is_new` is False. So
        was a child whose parent's call has a child with the same name and input.

        Raises:
            KeyConflict: The key was used with another input. Nothing is stored.
            TidTaken: The TID belongs to another run; choose another one. Nothing is stored.
            LostLease: The worker that shall hold a run is not registered. Nothing is stored.
        """
        ...

    def get(self, tid: int) -> Run | None:
        """The run, or None."""
        ...

    def runs(self, where: RunFilter) -> list[Run]:
        """Runs, newest (highest TID) first. `input`, `output` and `error` may be left as "" or
        None in the listed records; `get` has them."""
        ...

    def match(self, digits: str, limit: int = 3) -> list[int]:
        """TIDs that begin or end with these digits, newest first, at most `limit`."""
        ...

    def journal(self, tid: int, after: int = -1, limit: int | None = None) -> list[Row]:
        """Rows with `seq` above `after`, in order; [] for an unknown run."""
        ...

    def children(self, tid: int) -> list[tuple[int, int]]:
        """(ordinal, child TID) of a run, by ordinal."""
        ...

    # --- executing ---------------------------------------------------------------------------

    def claim(self, what: Claim, now: int) -> list[Run]:
        """Take due runs, oldest `wake_at` first, and mark them as held; none twice.

        Raises:
            LostLease: The worker is not registered (it was buried). Nothing is taken.
        """
        ...

    def held(self, worker: int) -> list[tuple[int, int]]:
        """(TID, attempt) of the runs that this worker holds, by TID: the truth after a claim whose
        answer was lost."""
        ...

    def due(self, what: Claim) -> int | None:
        """The earliest `wake_at` of the runs that `claim` would take once it is due, or None."""
        ...

    def unclaimed(
        self, what: Claim, now: int, *, blocked: bool = False, importable: bool = False
    ) -> list[Unclaimed]:
        """Due runs (queued or waiting; with `blocked` the blocked ones too) of other names than
        those of `what`, one per (kind, name, version, source), at most 100; with `importable` only
        those that have a source."""
        ...

    def block(self, what: Unclaimed, namespace: str, reason: str, now: int) -> int:
        """Mark the due runs (queued or waiting) of this name, version and source as blocked; how
        many. The TID of `what` is not looked at."""
        ...

    def unpark(self, names: Sequence[tuple[str, str]], namespace: str, code: str, now: int) -> int:
        """Queue the stuck runs of these names that code with this fingerprint may try; how many."""
        ...

    def retry(self, tid: int, now: int) -> Retried:
        """Queue a stuck run again, whatever it was parked for; its journal and inbox stay."""
        ...

    def turn(self, turns: Sequence[Turn], births: Sequence[NewRun], now: int) -> list[Verdict]:
        """Commit turns of different runs in one transaction, births (runs held from birth) first.

        Each turn stands for itself: a stale one is refused and the others are written. Rows that
        a turn consumes are marked as read and lose their value; a finishing turn deletes them. A turn that
        finishes a run deletes its inbox, and tells its parent (inbox row `child:<ordinal>`, of kind
        child_completed or child_failed, and the parent is woken). A turn with `repeated` whose
        first row is there, written under the same attempt, was committed before: see
        `decide.after_repeat`.

        Raises:
            TidTaken: The TID of a birth or of a child belongs to another run. Nothing is written.
            LostLease: The worker of a birth is not registered. Nothing is written.
            KeyConflict: The key of a birth or of a child belongs to another run; a run that may
                meet the holder of its key goes through `submit`. Nothing is written.
            StoreError: A row is there already, or the call of a child has another child (a fault
                of the caller). Nothing is written.
        """
        ...

    def deliver(self, mail: NewMail, now: int) -> Delivered:
        """Put something before a run and wake it; see `Delivered` for all that can happen.

        A delivery whose key was used before is REPEATED, also when the first one was read since;
        but see `decide.ends_at_once`.
        One that ENDED the run asks its unfinished children to end, too.
        """
        ...

    def inbox(self, tid: int, limit: int = 100) -> list[Mail]:
        """What lies unread in the inbox of a run, oldest first."""
        ...

    def mail(self, worker: int) -> list[int]:
        """TIDs of the runs that this worker holds and that have something unread in their inbox."""
        ...

    # --- workers -------------------------------------------------------------------------------

    def register(self, worker: WorkerRow) -> None:
        """Make a worker known, with its first lease."""
        ...

    def renew(self, worker: int, lease_until: int) -> bool:
        """Prolong a lease. False: the worker was buried, and what it held is no longer its own."""
        ...

    def workers(self) -> list[WorkerRow]:
        """All workers that are registered, oldest first."""
        ...

    def bury(self, worker: int, now: int, *, proven: bool) -> int | None:
        """Take over from a dead worker: its runs can be claimed again, and it is forgotten.

        Runs that are held by a worker that is not registered (there should be none) are taken over
        with them.

        Returns how many runs it held; None if it is not dead (its lease holds and its death is
        not proven) or not known (somebody else buried it).
        """
        ...

    def retire(self, worker: int, *, if_idle: bool = False) -> int | None:
        """A worker ends in good order: whatever it still holds is queued, without a crash counted;
        it is forgotten. Returns how many runs it still held.

        With `if_idle` only when no run of its namespace is queued, running, waiting or blocked,
        decided in the same transaction; else None, and the worker stays.
        """
        ...

    def progress(self, worker: int, latest: Mapping[int, str]) -> None:
        """Note the latest progress (JSON text) of runs that this worker holds, by TID; of others
        nothing is noted. Cleared when the run ends or is let go of."""
        ...

    # --- waking --------------------------------------------------------------------------------

    def poke(self) -> None:
        """Wake everybody who listens, but for the listeners of this very `Store` object. Never
        fails, never blocks; a lost poke costs only time."""
        ...

    def listen(self) -> Listener:
        """Begin to listen for the pokes of others."""
        ...
