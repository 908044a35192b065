"""From what happened to a run, to the turn that records it.

`take_turn` delivers the queued events of a resident to its machine, one journal row each, and says
what happens to the run afterwards. Nothing here touches the store, starts anything, or knows the
time: what the turn asks for is done by the engine, after the commit.
"""

from __future__ import annotations

from typing import Protocol

from perdure.core.decide import (
    CANCELLED_BEFORE_IT_BEGAN,
    Finish,
    HandBack,
    Next,
    Park,
    Suspend,
    Turn,
)
from perdure.core.errors import Unreplayable
from perdure.core.events import (
    Cancel,
    Cancelled,
    Child,
    Command,
    Complete,
    EventKind,
    Fail,
    Row,
    Step,
    encode_commands,
)
from perdure.core.run import NewRun, Status
from perdure.engine.resident import Resident

LINGER = 1_000_000
"""A run whose next timer is due within this (µs) is kept: letting go of it costs two commits."""

MAX_ROWS = 1000
"""A turn delivers at most so many events; the rest waits for the next turn."""

WAITS_FOR_NOTHING = "its body waits for something that nothing can bring: no step, timer or child"


class Office(Protocol):
    """What a turn is taken by: the engine, as far as a turn has to do with it."""

    is_draining: bool
    """The worker stops: a run is handed back as soon as nothing of it runs."""

    def new_child(self, parent: Resident, command: Child) -> NewRun:
        """The run for a child command."""
        ...

    def is_here(self, tid: int) -> bool:
        """Whether a run is in memory here: a parent is kept beside its children."""
        ...

    def fingerprint(self) -> str:
        """Identifies the code, for a run that cannot go on with it."""
        ...


def take_turn(resident: Resident, now: int, office: Office) -> Turn | None:
    """Deliver what is queued; None: there is nothing to write.

    Args:
        now: Store time (µs).
        office: Who takes it.
    """
    if resident.parking is not None:
        return Turn(tid=resident.tid, attempt=resident.attempt, then=resident.parking)
    if not resident.seq and _is_asked_to_end(resident):
        # The body is not even begun: it may be what hung the worker that had the run before, and
        # then it would hang this one, too, before it could see the request.
        never_begun = Finish(status=Status.CANCELLED, error=CANCELLED_BEFORE_IT_BEGAN)
        return Turn(tid=resident.tid, attempt=resident.attempt, then=never_begun)
    rows: list[Row] = []
    consumed: list[int] = []
    try:
        _deliver(resident, now, rows, consumed)
    except Exception as error:  # noqa: BLE001 - whatever it is: park, and lose nothing
        is_code = isinstance(error, Unreplayable)
        reason = str(error) if is_code else f"its body could not be driven: {error!r}"
        resident.parking = Park(reason=reason, code=office.fingerprint())
        return Turn(tid=resident.tid, attempt=resident.attempt, then=resident.parking)
    after = resident.after
    if len(after) == 1 and type(after[0]) is Step and len(rows) == 1 and not office.is_draining:
        # What most turns are: one outcome in, the next step out.
        return Turn(
            tid=resident.tid,
            attempt=resident.attempt,
            rows=rows,
            consumed=consumed,
            progress=resident.crashes > 0,
        )
    children, cancelled = _family(resident, office)
    then = _next(resident, now, office)
    if not rows and then is None and not consumed:
        return None
    return Turn(
        tid=resident.tid,
        attempt=resident.attempt,
        rows=rows,
        then=then,
        consumed=consumed,
        children=children,
        cancel_children=cancelled,
        progress=bool(rows) and resident.crashes > 0,
    )


def _is_asked_to_end(resident: Resident) -> bool:
    return any(event.kind is EventKind.CANCEL_REQUESTED for event, _mail in resident.events)


def _deliver(resident: Resident, now: int, rows: list[Row], consumed: list[int]) -> None:
    machine = resident.machine
    events = resident.events
    at = max(now, resident.last_at)
    seq = resident.seq
    while events and machine.ending is None and len(rows) < MAX_ROWS:
        event, mail = events.popleft()
        if mail:
            consumed.append(mail)
        if event.ordinal is not None and event.ordinal not in machine.pending:
            continue  # the body no longer waits for it
        text = ""
        kind = event.kind
        if kind is EventKind.STEP_STARTED or kind is EventKind.STEP_RETRYING:  # the body sees none
            resident.remember(event)
            resident.after.append(event)
        else:
            commands: list[Command] = machine.activate(event, at)
            if event.ordinal is not None:
                resident.answered(event.ordinal)
            if commands:
                text = encode_commands(commands)
                resident.after.extend(commands)
        rows.append(Row(seq=seq, at=at, attempt=resident.attempt, event=event, commands=text))
        seq += 1


def _family(resident: Resident, office: Office) -> tuple[list[NewRun], list[int]]:
    children: list[NewRun] = []
    cancelled: list[int] = []
    for command in resident.after:
        if isinstance(command, Child):
            child = office.new_child(resident, command)
            resident.children[command.ordinal] = child.tid
            children.append(child)
        elif isinstance(command, Cancel) and command.ordinal in resident.children:
            del resident.children[command.ordinal]
            cancelled.append(command.ordinal)
    return children, cancelled


def _next(resident: Resident, now: int, office: Office) -> Next | None:
    machine = resident.machine
    match machine.ending:
        case Complete(output=output):
            return Finish(status=Status.COMPLETED, output=output)
        case Fail(error=error):
            return Finish(status=Status.FAILED, error=error)
        case Cancelled():
            return Finish(status=Status.CANCELLED, error=resident.cancelled_error())
        case None:
            pass
    if not resident.must_wait():
        return HandBack() if office.is_draining and not resident.flights else None
    wake_at = resident.wake_at()
    if not office.is_draining:
        if wake_at is not None and wake_at - now < LINGER:
            return None
        if any(office.is_here(tid) for tid in resident.children.values()):
            return None
    return Suspend(wake_at=wake_at, reason=None if machine.pending else WAITS_FOR_NOTHING)
