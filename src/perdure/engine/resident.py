"""A run that this worker holds, or keeps warm: its machine, and what the machine does not know."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from perdure.author import registry
from perdure.author.context import Context, enter_fresh
from perdure.author.function import Function
from perdure.author.workflow import Workflow, body_of
from perdure.core.codec import JSON
from perdure.core.decide import Park
from perdure.core.errors import RunCancelled
from perdure.core.events import Child, Command, Event, EventKind, Row, Step, Timer
from perdure.core.run import NewRun, Run
from perdure.engine.steps import Flight
from perdure.machine import Machine

Definition = Workflow[Any, Any] | Function[Any, Any]


def definition_of(name: str, version: str) -> Definition:
    """The code of a run that was claimed by name and version."""
    found = registry.find(name, version)
    assert isinstance(found, Workflow | Function), f"{name} {version} was claimed but is not known"
    return found  # pyright: ignore[reportUnknownVariableType] - of any inputs and result


def workflow_of(target: object) -> Workflow[Any, Any]:
    """The workflow that a body has called."""
    assert isinstance(target, Workflow)
    return target  # pyright: ignore[reportUnknownVariableType] - of any inputs and result


STARTED = Event(kind=EventKind.STARTED)


class Resident:
    """One run in memory.

    Attributes:
        tid, name, key, attempt, crashes: As on the run.
        definition: Its code.
        machine: Its body.
        seq: The next journal row.
        last_at: The time of the last row; the next one is not earlier.
        events: What is to be delivered, oldest first, with the inbox id it came from (or 0).
        flights: Step attempts in progress, by ordinal.
        retries: When steps that wait for their next attempt are due: ordinal -> µs.
        tries: The next or current attempt of steps that failed before: ordinal -> attempt.
        started: At-most-once steps whose start is recorded: ordinal -> attempt.
        children: Child runs that have not answered: ordinal -> TID (0: born before the last claim).
        after: What the turn now being committed asks for, commands and step events; done after
            the commit.
        birth: The run to be stored with its first turn, or None: it is stored.
        on_stored: Called once the birth is durable, or None.
        parking: Why it cannot go on with this code, or None.
        seen: Inbox ids that are queued here or on their way to the store.
        interruptions: How often somebody else cancelled a step of it.
        is_committing: A turn of it is on its way to the store.
        is_settled: What was pending when it was claimed has been taken up again.
    """

    __slots__ = (
        "_context",
        "after",
        "attempt",
        "birth",
        "children",
        "crashes",
        "definition",
        "events",
        "flights",
        "input",
        "interruptions",
        "is_committing",
        "is_settled",
        "key",
        "last_at",
        "machine",
        "name",
        "on_stored",
        "parent",
        "parking",
        "retries",
        "seen",
        "seq",
        "started",
        "tid",
        "tries",
    )

    def __init__(self, run: Run | NewRun, definition: Definition, *, attempt: int) -> None:
        self.definition = definition
        self.on_stored: Callable[[], object] | None = None
        self.become(run, attempt=attempt)

    def become(self, run: Run | NewRun, *, attempt: int) -> None:
        """Be this run, from its beginning, with a new machine. Who waits for it to be stored still
        does."""
        self.tid = run.tid
        self.name = run.name
        self.key = run.key
        self.parent = run.parent
        self.input: str | None = run.input
        self.attempt = attempt
        self.crashes = run.crashes if isinstance(run, Run) else 0
        self.seq = 0
        self.last_at = 0
        self.events: deque[tuple[Event, int]] = deque()
        self.flights: dict[int, Flight] = {}
        self.retries: dict[int, int] = {}
        self.tries: dict[int, int] = {}
        self.started: dict[int, int] = {}
        self.children: dict[int, int] = {}
        self.after: list[Command | Event] = []
        self.birth: NewRun | None = None
        self.parking: Park | None = None
        self.seen: set[int] = set()
        self.interruptions = 0
        self.is_committing = False
        self.is_settled = False
        self._context: Context | None = None
        self.machine = self.new_machine()

    def new_machine(self) -> Machine:
        """A machine for this run, before its first event."""
        definition = self.definition

        def body() -> Any:
            # Decoded here, so that an input that no longer fits fails the run, not the worker.
            args, kwargs = definition.contract.decode_input(JSON, self.input or "{}")
            return body_of(definition, args, kwargs)

        return Machine(
            self.tid,
            self.name,
            body,
            encode_result=lambda value: definition.contract.encode_output(JSON, value),
            encode_error=JSON.encode_error,
            context=enter_fresh(self),
        )

    def context(self) -> Context:
        """The context of the body; most bodies never ask for it."""
        if self._context is None:
            self._context = Context(
                tid=str(self.tid), name=self.name, key=self.key, replaying=self._is_replaying
            )
        return self._context

    def _is_replaying(self) -> bool:
        return self.machine.replaying

    def replay(self, rows: list[Row]) -> None:
        """Bring the machine to where the journal is, and remember what only the journal knows.

        Raises:
            Unreplayable: The code does not do what the journal says.
        """
        self.machine.replay(rows)
        for row in rows:
            self.remember(row.event)
        self.seq = len(rows)
        self.last_at = rows[-1].at if rows else 0
        pending = self.machine.pending
        self.retries = {o: due for o, due in self.retries.items() if o in pending}
        self.tries = {o: attempt for o, attempt in self.tries.items() if o in pending}
        self.started = {o: attempt for o, attempt in self.started.items() if o in pending}
        self.children = {o: 0 for o, p in pending.items() if isinstance(p.command, Child)}

    def remember(self, event: Event) -> None:
        """Keep what an event tells about a step that its body does not see."""
        ordinal = event.ordinal
        if event.kind is EventKind.STEP_RETRYING:
            assert ordinal is not None
            assert event.due is not None
            assert event.step_attempt is not None
            self.retries[ordinal] = event.due
            self.tries[ordinal] = event.step_attempt + 1
        elif event.kind is EventKind.STEP_STARTED:
            assert ordinal is not None
            assert event.step_attempt is not None
            self.started[ordinal] = event.step_attempt
            self.retries.pop(ordinal, None)

    def answered(self, ordinal: int) -> None:
        """The call at `ordinal` has its outcome, or the body no longer waits for it."""
        if self.tries or self.started:  # of most runs nothing of this is known
            self.retries.pop(ordinal, None)
            self.tries.pop(ordinal, None)
            self.started.pop(ordinal, None)
        if self.children:
            self.children.pop(ordinal, None)

    def must_wait(self) -> bool:
        """Whether nothing is in progress: the run waits for time or for the outside world."""
        if self.flights or self.events:
            return False
        for ordinal, pending in self.machine.pending.items():
            if isinstance(pending.command, Step) and ordinal not in self.retries:
                return False
        return True

    def wake_at(self) -> int | None:
        """The earliest of its timers and retries (µs), or None."""
        dues = list(self.retries.values())
        dues += [
            pending.command.due
            for pending in self.machine.pending.values()
            if isinstance(pending.command, Timer)
        ]
        return min(dues, default=None)

    def queue_overdue(self, now: int) -> None:
        """Timers that are due fire before anything is launched: a step whose time-out has passed
        must not run once more only to be cancelled."""
        overdue = sorted(
            (pending.command.due, ordinal)
            for ordinal, pending in self.machine.pending.items()
            if isinstance(pending.command, Timer) and pending.command.due <= now
        )
        for _due, ordinal in overdue:
            self.events.append((Event(kind=EventKind.TIMER_FIRED, ordinal=ordinal), 0))

    def cancelled_error(self) -> str:
        """The encoded error of this run when it ends as cancelled."""
        return JSON.encode_error(RunCancelled(f"{self.name} was cancelled", tid=self.tid))
