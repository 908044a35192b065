"""Plays the engine for one machine: feeds outcomes in a seeded order, fires timers in due order."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from perdure.core.events import (
    Child,
    Complete,
    Ending,
    Event,
    EventKind,
    Row,
    Step,
    Timer,
    encode_commands,
)
from perdure.machine import Machine, current

Body = Callable[[], Coroutine[Any, Any, object]]

BEGAN = 1_700_000_000_000_000


class StepBroke(Exception):
    """What a failed step raises in the bodies of these tests."""


class Json:
    """Payloads as plain JSON."""

    def decode(self, value: str) -> object:
        return json.loads(value)

    def decode_error(self, value: str) -> BaseException:
        return StepBroke(json.loads(value))


JSON = Json()


def step(name: str, value: object = None, key: str | None = None) -> asyncio.Future[Any]:
    """Call a step; "fail" in its name makes it fail, its outcome is its input."""
    machine = current()
    assert machine is not None
    return machine.call_step(name, json.dumps(value), JSON, key)


def child(name: str, value: object = None) -> asyncio.Future[Any]:
    """Call a child run; as `step`."""
    machine = current()
    assert machine is not None
    return machine.call_child(name, json.dumps(value), JSON)


def encode_error(error: BaseException) -> str:
    """The type and text of an error, and of those that it groups."""
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}[{', '.join(encode_error(e) for e in error.exceptions)}]"
    return f"{type(error).__name__}: {error}"


def machine_of(body: Body, *, tid: int = 7, **options: Any) -> Machine:
    """A machine with JSON payloads."""
    return Machine(
        tid, body.__name__, body, encode_result=json.dumps, encode_error=encode_error, **options
    )


class Play:
    """One machine and its journal, made row by row."""

    def __init__(self, body: Body, *, tid: int = 7, **options: Any) -> None:
        self.machine = machine_of(body, tid=tid, **options)
        self.rows: list[Row] = []
        self.at = BEGAN

    @property
    def ending(self) -> Ending | None:
        return self.machine.ending

    @property
    def result(self) -> Any:
        ending = self.machine.ending
        assert isinstance(ending, Complete), ending
        return json.loads(ending.output)

    def feed(self, kind: EventKind, ordinal: int | None = None, value: str | None = None) -> list:
        """Deliver one event a little later, and journal it."""
        self.at += 7
        event = Event(kind=kind, ordinal=ordinal, value=value)
        commands = self.machine.activate(event, self.at)
        self.rows.append(Row(len(self.rows), self.at, 1, event, encode_commands(commands)))
        return commands

    def start(self) -> list:
        return self.feed(EventKind.STARTED)

    def cancel(self, reason: str | None = "enough") -> list:
        return self.feed(EventKind.CANCEL_REQUESTED, None, json.dumps(reason))

    def answer(self, ordinal: int) -> list:
        """Give the call its outcome, or fire the timer."""
        command = self.machine.pending[ordinal].command
        if isinstance(command, Timer):
            self.at = max(self.at, command.due)
            return self.feed(EventKind.TIMER_FIRED, ordinal)
        value = bytes(command.input).decode()
        is_child, fails = isinstance(command, Child), "fail" in command.name
        if fails:
            kind = EventKind.CHILD_FAILED if is_child else EventKind.STEP_FAILED
            return self.feed(kind, ordinal, json.dumps(f"{command.name}({value})"))
        kind = EventKind.CHILD_COMPLETED if is_child else EventKind.STEP_COMPLETED
        return self.feed(kind, ordinal, value)

    def answer_all(self) -> Play:
        """Answer in the order of the calls, timers last and by their due, until the end."""
        while self.ending is None:
            pending = self.machine.pending.values()
            calls = [p.ordinal for p in pending if not isinstance(p.command, Timer)]
            timers = [(p.command.due, p.ordinal) for p in pending if isinstance(p.command, Timer)]
            self.answer(calls[0] if calls else min(timers)[1])
        return self

    def answer_randomly(self, dice: random.Random, *, cancels: bool = False) -> Play:
        """Answer in a random order (timers by their due) until the end, or until nothing comes."""
        gone: list[int] = []
        while self.ending is None and self.machine.pending:
            pending = list(self.machine.pending.values())
            calls = [p.ordinal for p in pending if isinstance(p.command, Step | Child)]
            timers = [(p.command.due, p.ordinal) for p in pending if isinstance(p.command, Timer)]
            chance = dice.random()
            if cancels and chance < 0.03:
                self.cancel()
            elif chance < 0.08 and calls:
                self.feed(EventKind.STEP_STARTED, dice.choice(calls))
            elif chance < 0.12 and gone:
                self.feed(EventKind.STEP_COMPLETED, dice.choice(gone), '"late"')
            elif timers and (not calls or dice.random() < 0.3):
                self.answer(min(timers)[1])
            else:
                ordinal = dice.choice(calls)
                gone.append(ordinal)
                self.answer(ordinal)
        return self


class Journal(msgspec.Struct, frozen=True):
    """A journal that can be sent to another process.

    Attributes:
        body: The name of a body in `bodies`.
        tid: The run.
        rows: Its journal.
        ending: How it ended, with its payload; None for a run that still waits.
    """

    body: str
    tid: int
    rows: list[Row]
    ending: Ending | None


def repeat(journal: Journal, body: Body) -> list[str]:
    """Run a journal again, row by row; how it differs, in sentences (bytewise: all must agree)."""
    again = machine_of(body, tid=journal.tid)
    wrong: list[str] = []
    for row in journal.rows:
        text = encode_commands(again.activate(row.event, row.at))
        if text != row.commands:
            wrong.append(f"{journal.body} row {row.seq}: recorded {row.commands}, now {text}")
            break
    else:
        if again.ending != journal.ending:
            wrong.append(f"{journal.body}: recorded {journal.ending}, now {again.ending}")
    again.close()
    return wrong
