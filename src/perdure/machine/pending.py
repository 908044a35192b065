"""A call that was made and has no outcome yet, and what makes a live value of the outcome."""

from __future__ import annotations

from typing import Protocol

import msgspec

from perdure.core.events import Child, Step, Timer
from perdure.machine.futures import Call, TimerHandle


class Target(Protocol):
    """What a call makes of its outcome."""

    def decode(self, value: str) -> object:
        """The live value of an outcome's payload."""
        ...

    def decode_error(self, value: str) -> BaseException:
        """The live exception of an encoded error."""
        ...


class Pending(msgspec.Struct, eq=False):
    """A call without an outcome.

    Attributes:
        ordinal: Which call.
        command: What was asked for; after a replay, as the journal has it.
        target: What makes the live value; None for a timer.
        future: What the body waits on; None for a timer.
        handle: The callback of a timer; None for other calls.
    """

    ordinal: int
    command: Step | Timer | Child
    target: Target | None
    future: Call | None
    handle: TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Pending {self.command!r}>"
