"""What becomes of a run: every status against every decision, and what no decision may break."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.codec import JSON
from perdure.core.decide import (
    STUCK_AFTER_CRASHES,
    Finish,
    HandBack,
    Next,
    Park,
    RunChange,
    Suspend,
    Turn,
    after_block,
    after_claim,
    after_death,
    after_delivery,
    after_retry,
    after_turn,
    after_unpark,
    cancel_child,
    holds,
    is_dead,
    to_parent,
)
from perdure.core.errors import RunCancelled
from perdure.core.events import EventKind
from perdure.core.inbox import Delivered, NewMail
from perdure.core.run import CLAIMABLE, FINAL, Kind, Run, Status

NOW = 1_800_000_000_000_000
UNFINISHED = [status for status in Status if not status.is_final]


def run(status: Status, **changes: Any) -> Run:
    """A run with this status, as the rules of run.py have it."""
    fields: dict[str, Any] = {
        "tid": 5, "namespace": "default", "kind": Kind.WORKFLOW, "name": "w", "version": "",
        "source": "", "queue": "default", "key": None, "parent": None, "parent_ordinal": None,
        "chain": 5, "status": status, "attempt": 3, "crashes": 1,
        "worker": 9 if status is Status.RUNNING else None,
        "created_at": NOW - 100, "started_at": NOW - 50,
        "finished_at": NOW - 10 if status.is_final else None,
        "wake_at": NOW - 20 if status in CLAIMABLE else None,
        "python": "", "journal_format": 1, "code": "", "input": "{}",
        "output": None, "error": None, "reason": None,
    }  # fmt: skip
    return Run(**{**fields, **changes})


def changed(before: Run, change: RunChange) -> Run:
    """The run with the change applied, as a store does it."""
    fields = {name: getattr(before, name) for name in Run.__slots__}
    return Run(**{**fields, **{name: getattr(change, name) for name in RunChange.__slots__}})


def turn(then: Next | None = None, **changes: Any) -> Turn:
    return Turn(tid=5, attempt=3, then=then, **changes)


# --- The fence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("attempt", [2, 3, 4])
def test_only_the_holder_writes(status: Status, attempt: int) -> None:
    """A turn counts only while its worker's attempt runs the run."""
    assert holds(status, attempt, turn()) is (status is Status.RUNNING and attempt == 3)


# --- Turns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "progress", "mail", "verdict", "status", "crashes", "wake_at"),
    [
        (None, False, False, "committed", None, 1, None),
        (None, True, False, "committed", "running", 0, None),
        (None, False, True, "committed", None, 1, None),
        (Suspend(NOW + 5), False, False, "committed", "waiting", 0, NOW + 5),
        (Suspend(None), True, False, "committed", "waiting", 0, None),
        (Suspend(NOW + 5), False, True, "mail", None, 1, None),
        (Suspend(NOW + 5), True, True, "mail", "running", 0, None),
        (Finish(Status.COMPLETED, "1"), False, False, "committed", "completed", 1, None),
        (Finish(Status.COMPLETED, "1"), True, True, "committed", "completed", 0, None),
        (Finish(Status.FAILED, None, "e"), False, False, "committed", "failed", 1, None),
        (Finish(Status.CANCELLED, None, "e"), False, True, "committed", "cancelled", 1, None),
        (Park("why", "abc"), False, False, "committed", "stuck", 1, None),
        (HandBack(), False, False, "committed", "queued", 1, NOW),
        (HandBack(), True, True, "committed", "queued", 0, NOW),
    ],
)
def test_turns(
    then: Any, progress: bool, mail: bool, verdict: str, status: Any, crashes: int, wake_at: Any
) -> None:
    """Each ending of a turn, with and without mail and progress."""
    before = run(Status.RUNNING)
    told, change = after_turn(before, turn(then, progress=progress), mail=mail, now=NOW)
    assert told == verdict
    if status is None:
        assert change is None
        return
    assert change is not None
    assert (change.status, change.crashes, change.wake_at) == (status, crashes, wake_at)
    assert change.attempt == before.attempt
    assert change.worker == (9 if status == "running" else None)
    assert change.finished_at == (NOW if Status(status).is_final else None)
    if isinstance(then, Finish):
        assert (change.output, change.error) == (then.output, then.error)
    if isinstance(then, Park):
        assert (change.reason, change.code) == ("why", "abc")


# --- Claims, blocks, unparking, deaths: every status ------------------------------------------------


@pytest.mark.parametrize("status", sorted(CLAIMABLE))
@pytest.mark.parametrize("started_at", [None, NOW - 7])
def test_claims(status: Status, started_at: int | None) -> None:
    """A claim holds the run under a new attempt and keeps when it first started."""
    change = after_claim(run(status, started_at=started_at), 77, now=NOW)
    assert (change.status, change.worker, change.attempt) == (Status.RUNNING, 77, 4)
    assert change.wake_at is None
    assert change.started_at == (started_at or NOW)
    assert change.crashes == 1


@pytest.mark.parametrize("status", list(Status))
def test_blocks(status: Status) -> None:
    """Only a claimable run is blocked; it stays due, says why, and keeps its attempt."""
    change = after_block(run(status), "no code")
    assert (change is not None) is (status in CLAIMABLE)
    if change is not None:
        assert (change.status, change.reason) == (Status.BLOCKED, "no code")
        assert (change.wake_at, change.attempt, change.crashes) == (NOW - 20, 3, 1)


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(("parked_by", "code"), [("", "b"), ("a", "a"), ("a", "b")])
def test_unparking(status: Status, parked_by: str, code: str) -> None:
    """A stuck run is tried again only by code that differs from the code that parked it."""
    change = after_unpark(run(status, code=parked_by), code, now=NOW)
    assert (change is not None) is (status is Status.STUCK and (parked_by, code) == ("a", "b"))
    if change is not None:
        assert (change.status, change.wake_at, change.reason) == (Status.QUEUED, NOW, None)


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("parked_by", ["", "a"])
def test_retries(status: Status, parked_by: str) -> None:
    """A stuck run is queued again as if nothing had parked it; no other run is touched."""
    before = run(status, code=parked_by, crashes=STUCK_AFTER_CRASHES, reason="why")
    change = after_retry(before, now=NOW)
    assert (change is not None) is (status is Status.STUCK)
    if change is not None:
        assert (change.status, change.wake_at, change.attempt) == (Status.QUEUED, NOW, 3)
        assert (change.crashes, change.code, change.reason) == (0, "", None)
        assert change.started_at == before.started_at


@pytest.mark.parametrize("crashes", range(STUCK_AFTER_CRASHES + 1))
def test_deaths(crashes: int) -> None:
    """A death counts a crash and queues the run at once; too many in a row park it."""
    change = after_death(run(Status.RUNNING, crashes=crashes), now=NOW)
    assert change.crashes == crashes + 1
    assert change.worker is None
    if crashes + 1 < STUCK_AFTER_CRASHES:
        assert (change.status, change.wake_at) == (Status.QUEUED, NOW)
    else:
        assert (change.status, change.wake_at) == (Status.STUCK, None)
        assert "workers in a row died" in (change.reason or "")
        assert "perdure retry 5" in (change.reason or "")  # the way out is named
        assert after_unpark(changed(run(Status.RUNNING), change), "new", now=NOW) is None


@pytest.mark.parametrize(
    ("lease_until", "proven", "dead"),
    [(NOW - 1, False, True), (NOW, False, False), (NOW + 1, False, False), (NOW + 1, True, True)],
)
def test_death_is_proven_or_the_lease_is_over(lease_until: int, proven: bool, dead: bool) -> None:
    """A worker is dead when its lease ended, or at once where its death is proven."""
    assert is_dead(lease_until, now=NOW, proven=proven) is dead


# --- The inbox ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("kind", [EventKind.CANCEL_REQUESTED, EventKind.CHILD_COMPLETED])
@pytest.mark.parametrize("has_begun", [True, False])
def test_deliveries(status: Status, kind: EventKind, has_begun: bool) -> None:
    """Mail wakes who waits, is too late for who is finished; a cancel ends what has no body."""
    before = run(status, started_at=NOW - 50 if has_begun else None)
    mail = NewMail(tid=5, dedup_key="k", kind=kind)
    told, change = after_delivery(before, mail, now=NOW)
    no_body = status is Status.STUCK or (
        status in (Status.QUEUED, Status.BLOCKED) and not has_begun
    )
    if status.is_final:
        assert (told, change) == (Delivered.TOO_LATE, None)
    elif kind is EventKind.CANCEL_REQUESTED and no_body:
        assert told is Delivered.ENDED
        assert change is not None
        assert (change.status, change.finished_at) == (Status.CANCELLED, NOW)
        assert isinstance(JSON.decode_error(change.error or ""), RunCancelled)
    else:
        assert told is Delivered.ACCEPTED
        assert change is None  # it is due already, or its worker will look


@pytest.mark.parametrize(
    ("wake_at", "woken"), [(None, True), (NOW + 5, True), (NOW, False), (NOW - 5, False)]
)
def test_mail_wakes_a_waiting_run(wake_at: int | None, woken: bool) -> None:
    """A run that waits for later, or for nobody knows when, is due as soon as mail arrives."""
    before = run(Status.WAITING, wake_at=wake_at)
    _, change = after_delivery(before, cancel_child(5), now=NOW)
    assert (change is not None) is woken
    if change is not None:
        assert (change.status, change.wake_at) == (Status.WAITING, NOW)


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_parent_is_told(status: Status) -> None:
    """A child that ends tells its parent, once, under the ordinal of the call."""
    child = run(Status.RUNNING, parent=4, parent_ordinal=7)
    mail = to_parent(child, status, "1", "e")
    assert mail is not None
    assert (mail.tid, mail.dedup_key, mail.ordinal) == (4, "child:7", 7)
    completed = status is Status.COMPLETED
    assert mail.kind is (EventKind.CHILD_COMPLETED if completed else EventKind.CHILD_FAILED)
    assert mail.value == ("1" if completed else "e")
    assert to_parent(run(Status.RUNNING), status, None, None) is None


def test_what_a_child_is_told_can_be_read() -> None:
    """The reason in a cancel of a child is encoded as any value."""
    assert JSON.decode(cancel_child(5).value or "") == "its parent no longer waits for it"


# --- What holds whatever happens ---------------------------------------------------------------------


nexts = st.one_of(
    st.none(),
    st.builds(Suspend, st.none() | st.integers(NOW - 9, NOW + 9)),
    st.builds(Finish, st.sampled_from(sorted(FINAL))),
    st.builds(Park, st.just("why"), st.sampled_from(["a", "b"])),
    st.just(HandBack()),
)
moves = st.tuples(
    st.sampled_from(["turn", "claim", "block", "unpark", "retry", "death", "cancel", "child"]),
    nexts,
    st.booleans(),
    st.booleans(),
)


def moved(before: Run, move: tuple[str, Any, bool, bool], now: int) -> RunChange | None:
    """What a store would do: ask only where the port says that it may."""
    what, then, progress, mail = move
    if what == "turn":
        a_turn = Turn(tid=5, attempt=before.attempt, then=then, progress=progress)
        if not holds(before.status, before.attempt, a_turn):
            return None
        return after_turn(before, a_turn, mail=mail, now=now)[1]
    if what == "claim":
        due = before.status in CLAIMABLE and before.wake_at is not None and before.wake_at <= now
        return after_claim(before, 9, now=now) if due else None
    if what == "block":
        return after_block(before, "no code")
    if what == "unpark":
        return after_unpark(before, "b", now=now)
    if what == "retry":
        return after_retry(before, now=now)
    if what == "death":
        return after_death(before, now=now) if before.worker is not None else None
    kind = EventKind.CANCEL_REQUESTED if what == "cancel" else EventKind.CHILD_COMPLETED
    return after_delivery(before, NewMail(tid=5, dedup_key="k", kind=kind), now=now)[1]


@given(st.lists(moves, max_size=30))
def test_whatever_happens_the_rules_of_a_run_hold(story: list[tuple[str, Any, bool, bool]]) -> None:
    """A finished run never changes; it has a worker exactly while running; attempts only grow;
    what waits for a worker is due; the first start is kept."""
    now, here = NOW, run(Status.QUEUED, started_at=None, attempt=0, crashes=0)
    for move in story:
        now += 5
        change = moved(here, move, now)
        if change is None:
            continue
        assert not here.status.is_final
        after = changed(here, change)
        assert (after.worker is not None) is (after.status is Status.RUNNING)
        assert after.attempt == here.attempt + (move[0] == "claim")
        assert (after.finished_at is not None) is after.status.is_final
        if after.status in (Status.QUEUED, Status.BLOCKED):
            assert after.wake_at is not None
        if after.status not in CLAIMABLE:
            assert after.wake_at is None
        assert here.started_at is None or after.started_at == here.started_at
        assert (after.reason is not None) is (after.status in (Status.BLOCKED, Status.STUCK))
        assert after.crashes <= here.crashes + (move[0] == "death")
        here = after
