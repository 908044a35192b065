"""A run that this worker holds, or keeps warm: its machine, and what the machine does not know."""

from __future__ import annotations

from collections import deque
from typing import Any

from perdure.author.context import Context, enter_fresh
from perdure.author.function import Function
from perdure.author.workflow import Workflow, body_of
from perdure.core.codec import JSON, encode_error
from perdure.core.events import Command, Event, EventKind, Row, Step, Timer
from perdure.core.run import NewRun, Run
from perdure.engine.steps import Flight
from perdure.machine import Machine

Definition = Workflow[Any, Any] | Function[Any, Any]

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
        retries: Steps that wait for their next attempt: ordinal -> (due, attempt).
        started: At-most-once steps whose start is recorded: ordinal -> attempt.
        children: Ordinals of child runs that have not answered.
        commands: What the turn now being committed asks for; done after the commit.
        birth: The run to be stored with its first turn, or None: it is stored.
        is_committing: A turn of it is on its way to the store.
    """

    __slots__ = (
        "attempt",
        "birth",
        "children",
        "commands",
        "crashes",
        "definition",
        "events",
        "flights",
        "input",
        "is_committing",
        "key",
        "last_at",
        "machine",
        "name",
        "retries",
        "seq",
        "started",
        "tid",
    )

    def __init__(self, run: Run | NewRun, definition: Definition, *, attempt: int) -> None:
        self.tid = run.tid
        self.name = run.name
        self.key = run.key
        self.input: str | None = run.input
        self.definition = definition
        self.attempt = attempt
        self.crashes = run.crashes if isinstance(run, Run) else 0
        self.seq = 0
        self.last_at = 0
        self.events: deque[tuple[Event, int]] = deque()
        self.flights: dict[int, Flight] = {}
        self.retries: dict[int, tuple[int, int]] = {}
        self.started: dict[int, int] = {}
        self.children: set[int] = set()
        self.commands: list[Command] = []
        self.birth: NewRun | None = None
        self.is_committing = False
        self.machine = self.new_machine()

    def new_machine(self) -> Machine:
        """A machine for this run, before its first event."""
        definition = self.definition
        machine: Machine

        def body() -> Any:
            # Decoded here, so that an input that no longer fits fails the run, not the worker.
            args, kwargs = definition.contract.decode_input(JSON, self.input or "{}")
            return body_of(definition, args, kwargs)

        def is_replaying() -> bool:
            return machine.replaying

        context = Context(tid=str(self.tid), name=self.name, key=self.key, replaying=is_replaying)
        machine = Machine(
            self.tid,
            self.name,
            body,
            encode_result=lambda value: definition.contract.encode_output(JSON, value),
            encode_error=encode_error,
            context=enter_fresh(context),
        )
        return machine

    def replay(self, rows: list[Row]) -> None:
        """Bring the machine to where the journal is, and remember what only the journal knows.

        Raises:
            Unreplayable: The code does not do what the journal says.
        """
        self.machine.replay(rows)
        for row in rows:
            self._remember(row.event)
        self.seq = len(rows)
        self.last_at = rows[-1].at if rows else 0
        pending = self.machine.pending
        self.retries = {o: r for o, r in self.retries.items() if o in pending}
        self.started = {o: a for o, a in self.started.items() if o in pending}
        self.children = {o for o, p in pending.items() if p.command.__class__.__name__ == "Child"}

    def _remember(self, event: Event) -> None:
        if event.kind is EventKind.STEP_RETRYING:
            assert event.ordinal is not None
            assert event.due is not None
            assert event.step_attempt is not None
            self.retries[event.ordinal] = (event.due, event.step_attempt + 1)
        elif event.kind is EventKind.STEP_STARTED:
            assert event.ordinal is not None
            assert event.step_attempt is not None
            self.started[event.ordinal] = event.step_attempt
            self.retries.pop(event.ordinal, None)

    def step_attempt(self, ordinal: int) -> int:
        """Which attempt of a step comes next (or is under way)."""
        if ordinal in self.retries:
            return self.retries[ordinal][1]
        return self.started.get(ordinal, 1)

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
        dues = [due for due, _attempt in self.retries.values()]
        dues += [
            pending.command.due
            for pending in self.machine.pending.values()
            if isinstance(pending.command, Timer)
        ]
        return min(dues, default=None)
