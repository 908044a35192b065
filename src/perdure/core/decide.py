"""What becomes of a run: every transition, decided here and nowhere else.

Rules of this file:

1. A store verb is *lock, read, decide, write* in one transaction. The stores lock, read and
   write; the deciding is done by the functions below, which are pure, so that every backend has
   the same rules.
2. A decision is a value. `RunChange` says which columns of the run change; a refusal says why.
3. Whatever a worker writes is fenced by the attempt (`holds`). Outsiders write to the inbox only.

If you change a transition, change the table in docs/concepts.md and the conformance suite
(`perdure.testing.conformance`) with it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from perdure.core.events import EventKind, Row
from perdure.core.inbox import Delivered, NewMail
from perdure.core.run import CLAIMABLE, JOURNAL_FORMAT, NewRun, Run, Status

CANCELLED_BEFORE_IT_BEGAN = (
    '{"type":"perdure.core.errors:RunCancelled","message":"cancelled while nothing of it ran"}'
)
"""The encoded error (see `core.codec`) of a run that was cancelled while it had no body."""

ALONE_AFTER_CRASHES = 2
"""A run whose workers died this often in a row is claimed only by a worker that has nothing else."""

STUCK_AFTER_CRASHES = 5
"""A run whose workers died this often in a row is parked."""


class RunState(msgspec.Struct, frozen=True, gc=False):
    """What decisions look at: the part of a `Run` that a store reads for every turn."""

    tid: int
    status: Status
    attempt: int
    crashes: int
    worker: int | None
    created_at: int
    started_at: int | None
    wake_at: int | None
    code: str
    parent: int | None
    parent_ordinal: int | None


# --- Births --------------------------------------------------------------------------------------


def birth(new: NewRun) -> RunState:
    """Decide how a run begins: held by its worker, or queued if it has none."""
    held = new.worker is not None
    return RunState(
        tid=new.tid,
        status=Status.RUNNING if held else Status.QUEUED,
        attempt=1 if held else 0,
        crashes=0,
        worker=new.worker,
        created_at=new.at,
        started_at=new.at if held else None,
        wake_at=None if held else new.at,
        code="",
        parent=new.parent,
        parent_ordinal=new.parent_ordinal,
    )


def chain_of(new: NewRun) -> int:
    """The first run of the chain of a new run: itself, unless it continues another."""
    return new.tid if new.chain is None else new.chain


def born(new: NewRun) -> Run:
    """The whole of a run as it begins; see `birth`."""
    state = birth(new)
    return Run(
        tid=new.tid,
        namespace=new.namespace,
        kind=new.kind,
        name=new.name,
        version=new.version,
        source=new.source,
        queue=new.queue,
        key=new.key,
        parent=new.parent,
        parent_ordinal=new.parent_ordinal,
        chain=chain_of(new),
        status=state.status,
        attempt=state.attempt,
        crashes=state.crashes,
        worker=state.worker,
        created_at=state.created_at,
        started_at=state.started_at,
        finished_at=None,
        wake_at=state.wake_at,
        python=new.python,
        journal_format=JOURNAL_FORMAT,
        code=state.code,
        input=new.input,
        output=None,
        error=None,
        reason=None,
    )


def is_resubmitted(name: str, input: str, new: NewRun) -> bool:
    """Whether the run that has the place of `new` (with this name and input) is `new` itself."""
    return name == new.name and input == new.input


# --- What a worker asks for -----------------------------------------------------------------


class Suspend(msgspec.Struct, frozen=True, gc=False):
    """The body waits: let go of the run until `wake_at`, or until something comes in.

    `reason` says what is odd about it, if anything: a body that waits for nothing at all.
    """

    wake_at: int | None
    reason: str | None = None


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The body ended with this status."""

    status: Status
    output: str | None = None
    error: str | None = None


class Park(msgspec.Struct, frozen=True, gc=False):
    """The run cannot go on with this code: it is stuck."""

    reason: str
    code: str


class HandBack(msgspec.Struct, frozen=True, gc=False):
    """The worker stops: another may claim the run at once."""


Next = Suspend | Finish | Park | HandBack
"""What happens to the run after the rows of a turn; None instead: the worker keeps it."""


class Turn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One activation of a run, to be committed whole or not at all.

    Attributes:
        tid, attempt: The run, and the attempt under which the worker holds it (the fence).
        rows: Rows to append, with consecutive `seq`; may be empty (a run let go of).
        then: What happens to the run afterwards; None: the worker keeps it.
        consumed: Ids of the inbox rows that `rows` deliver; they are marked as read, and kept
            without their value until the run ends, so that a repeated delivery is still known.
        children: Runs to insert with this run as their parent.
        cancel_children: Ordinals of children that are asked to end.
        progress: Whether this turn resets `crashes` (the worker knows that it is not zero).
        repeated: Whether an earlier try of the same turn may have been committed after all.
    """

    tid: int
    attempt: int
    rows: list[Row] = []
    then: Next | None = None
    consumed: list[int] = []
    children: list[NewRun] = []
    cancel_children: list[int] = []
    progress: bool = False
    repeated: bool = False


class Verdict(StrEnum):
    """What a store answers to a turn."""

    COMMITTED = "committed"
    """All of it is durable."""
    MAIL = "mail"
    """All of it is durable, but the run was not let go of: its inbox is not empty."""
    STALE = "stale"
    """Nothing was written: another worker holds the run, or it is finished."""


class RunChange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The columns of a run that a turn or another verb sets, all of them, to these values."""

    status: Status
    worker: int | None
    attempt: int
    crashes: int
    wake_at: int | None
    started_at: int | None
    finished_at: int | None = None
    output: str | None = None
    error: str | None = None
    reason: str | None = None
    code: str = ""


def holds(status: str, attempt: int, turn: Turn) -> bool:
    """Whether the worker that sends `turn` still holds the run: rule 3, the fence."""
    return attempt == turn.attempt and status == Status.RUNNING


def after_turn(
    run: Run | RunState, turn: Turn, *, mail: bool, now: int
) -> tuple[Verdict, RunChange | None]:
    """Decide a turn of a run that `holds` was true for; `mail`: inbox rows remain unconsumed.

    Returns the verdict, and the change of the run (None: its row stays as it is).
    """
    then = turn.then
    if then is None:
        return Verdict.COMMITTED, _kept(run) if turn.progress else None
    crashes = 0 if turn.progress else run.crashes
    if isinstance(then, Suspend):
        if mail:
            return Verdict.MAIL, _kept(run) if turn.progress else None
        change = _let_go(run, Status.WAITING, 0, wake_at=then.wake_at, reason=then.reason)
    elif isinstance(then, Finish):
        change = _ended(run, then.status, crashes, now, then.output, then.error)
    elif isinstance(then, Park):
        change = _let_go(run, Status.STUCK, crashes, reason=then.reason, code=then.code)
    else:
        change = _queued(run, now, crashes)
    return Verdict.COMMITTED, change


def after_repeat(run: Run | RunState, turn: Turn) -> Verdict:
    """Decide a repeated turn whose first row is in the journal, written under the same attempt.

    It was committed; what that means now depends on what has happened since.
    """
    if run.attempt != turn.attempt:
        return Verdict.STALE
    is_held = run.status is Status.RUNNING
    if turn.then is None:
        return Verdict.COMMITTED if is_held else Verdict.STALE
    if isinstance(turn.then, Suspend) and is_held:
        return Verdict.MAIL
    return Verdict.COMMITTED


def _kept(run: Run | RunState) -> RunChange:
    """Its worker goes on with it, and has got further."""
    return RunChange(
        status=run.status,
        worker=run.worker,
        attempt=run.attempt,
        crashes=0,
        wake_at=run.wake_at,
        started_at=run.started_at,
    )


def _let_go(
    run: Run | RunState,
    status: Status,
    crashes: int,
    *,
    wake_at: int | None = None,
    reason: str | None = None,
    code: str = "",
) -> RunChange:
    """Nobody holds it from now on, and it is not finished."""
    return RunChange(
        status=status,
        worker=None,
        attempt=run.attempt,
        crashes=crashes,
        wake_at=wake_at,
        started_at=run.started_at,
        reason=reason,
        code=code,
    )


def _queued(run: Run | RunState, wake_at: int, crashes: int) -> RunChange:
    """Whoever can may claim it; which code parked it last is remembered."""
    return _let_go(run, Status.QUEUED, crashes, wake_at=wake_at, code=run.code)


def _ended(
    run: Run | RunState,
    status: Status,
    crashes: int,
    now: int,
    output: str | None,
    error: str | None,
) -> RunChange:
    """It is finished."""
    return RunChange(
        status=status,
        worker=None,
        attempt=run.attempt,
        crashes=crashes,
        wake_at=None,
        started_at=run.started_at,
        finished_at=now,
        output=output,
        error=error,
    )


# --- Claims ------------------------------------------------------------------------------------


def after_claim(run: Run | RunState, worker: int, *, now: int) -> RunChange:
    """Decide a claim of a run that is claimable and due."""
    return RunChange(
        status=Status.RUNNING,
        worker=worker,
        attempt=run.attempt + 1,
        crashes=run.crashes,
        wake_at=None,
        started_at=run.started_at if run.started_at is not None else now,
        code=run.code,
    )


def after_block(run: Run | RunState, reason: str) -> RunChange | None:
    """Decide a report that no code was found for the run; None: it is not claimable any more."""
    if run.status not in CLAIMABLE:
        return None
    due = run.wake_at if run.wake_at is not None else run.created_at
    return _let_go(run, Status.BLOCKED, run.crashes, wake_at=due, reason=reason)


KEEPS_AWAKE = frozenset({Status.QUEUED, Status.RUNNING, Status.WAITING, Status.BLOCKED})
"""Runs with one of these statuses are left to go on with; a stuck one waits for a person."""


def is_idle(unfinished: int) -> bool:
    """Whether a background worker may end: nothing is left that it, or a successor, must go on
    with."""
    return unfinished == 0


def after_unpark(run: Run | RunState, code: str, *, now: int) -> RunChange | None:
    """Decide whether code with this fingerprint may try a stuck run again; None: it may not.

    A run that the journal did not fit is tried again by code that differs from the code that
    parked it. A run that was parked because its workers died is not: a person must decide
    (`after_retry`).
    """
    if run.status is not Status.STUCK or not run.code or run.code == code:
        return None
    return _queued(run, now, run.crashes)


class Retried(StrEnum):
    """What became of the wish to try a stuck run again."""

    QUEUED = "queued"
    """It may be claimed at once, whatever it was parked for."""
    NOT_STUCK = "not_stuck"
    """Nothing was changed: it goes on by itself, or it is finished."""
    UNKNOWN = "unknown"
    """There is no such run."""


def after_retry(run: Run | RunState, *, now: int) -> RunChange | None:
    """Decide a person's wish to try a stuck run again; None: it is not stuck.

    The person vouches for the code, so nothing that parked the run counts any more: neither its
    deaths nor which code it was.
    """
    if run.status is not Status.STUCK:
        return None
    return _let_go(run, Status.QUEUED, 0, wake_at=now)


# --- Deaths ------------------------------------------------------------------------------------


def is_dead(lease_until: int, *, now: int, proven: bool) -> bool:
    """Whether a worker's runs may be taken over: its lease ended, or its death was proven."""
    return proven or lease_until < now


def after_death(run: Run | RunState, *, now: int) -> RunChange:
    """Decide what becomes of a run whose worker died while it held it."""
    crashes = run.crashes + 1
    if crashes >= STUCK_AFTER_CRASHES:
        reason = (
            f"{crashes} workers in a row died while they ran it, without recorded progress; mend "
            f"the cause, then: perdure retry {run.tid}"
        )
        return _let_go(run, Status.STUCK, crashes, reason=reason)
    return _queued(run, now, crashes)


def after_retire(run: Run | RunState) -> RunChange:
    """Decide what becomes of a run whose worker ends in good order while it holds it.

    It is due since its creation, so that what was begun goes on before what was not.
    """
    return _queued(run, run.created_at, run.crashes)


# --- The inbox -----------------------------------------------------------------------------------


def to_parent(
    run: Run | RunState, status: Status, output: str | None, error: str | None
) -> NewMail | None:
    """What the parent of a run that ends with `status` is told; None: it has no parent."""
    if run.parent is None or run.parent_ordinal is None:
        return None
    completed = status is Status.COMPLETED
    return NewMail(
        tid=run.parent,
        dedup_key=f"child:{run.parent_ordinal}",
        kind=EventKind.CHILD_COMPLETED if completed else EventKind.CHILD_FAILED,
        value=output if completed else error or CANCELLED_BEFORE_IT_BEGAN,
        ordinal=run.parent_ordinal,
    )


def cancel_child(child: int) -> NewMail:
    """What a child is told when its parent no longer waits for it."""
    return NewMail(
        tid=child,
        dedup_key="cancel",
        kind=EventKind.CANCEL_REQUESTED,
        value='"its parent no longer waits for it"',
    )


def after_delivery(
    run: Run | RunState, mail: NewMail, *, now: int
) -> tuple[Delivered, RunChange | None]:
    """Decide a delivery (not a repeated one) to a run that exists.

    ACCEPTED means: insert the inbox row, then apply the change (None: nothing to change).
    ENDED means: do not insert; apply the change and end the run as a finishing turn does (its
    inbox is deleted and its parent is told).
    """
    if run.status.is_final:
        return Delivered.TOO_LATE, None
    if mail.kind is EventKind.CANCEL_REQUESTED and _has_no_body(run):
        return Delivered.ENDED, _ended(
            run, Status.CANCELLED, run.crashes, now, None, CANCELLED_BEFORE_IT_BEGAN
        )
    if run.status is Status.WAITING and (run.wake_at is None or run.wake_at > now):
        return Delivered.ACCEPTED, _let_go(run, Status.WAITING, run.crashes, wake_at=now)
    return Delivered.ACCEPTED, None


def _has_no_body(run: Run | RunState) -> bool:
    """Nothing of it was ever executed, or nothing can be: there is nothing to clean up."""
    return run.status is Status.STUCK or (
        run.status in (Status.QUEUED, Status.BLOCKED) and run.started_at is None
    )


def ends_at_once(run: Run | RunState, mail: NewMail) -> bool:
    """Whether a delivery ends the run though the same one was accepted before: nobody read the
    first request to end, and now there is no body to read it."""
    return mail.kind is EventKind.CANCEL_REQUESTED and _has_no_body(run)
