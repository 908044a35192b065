"""What can happen to a run (events), what a run asks for (commands), and the journal of both.

Rules of this file:

1. The journal is the whole truth about a run. A `Row` is one delivered event plus the commands
   that it caused; `seq` numbers the rows of a run 0, 1, 2 … without gaps. Row 0 is `started`.
2. A command carries an `ordinal`: calls (steps, timers, children) share one count per run, in the
   order in which the body made them. Order is identity: the n-th call is the n-th call.
3. An event that answers a call carries the ordinal of that call.
4. Times are integers: microseconds since the epoch, UTC, of the store's clock.
5. Payloads are JSON text, made and read by `core.codec`; nothing in this file looks inside.

The kinds below are written into databases: a name, once released, is never given a new meaning.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class EventKind(StrEnum):
    """What a journal row tells."""

    STARTED = "started"
    """Row 0: the body begins. The input stands on the run."""
    STEP_STARTED = "step_started"
    """An attempt of an at-most-once step begins (`on_crash="fail"`). The body does not see it."""
    STEP_RETRYING = "step_retrying"
    """An attempt failed and another one is due at `due`. The body does not see it."""
    STEP_COMPLETED = "step_completed"
    """The step at `ordinal` has the outcome `value`."""
    STEP_FAILED = "step_failed"
    """The step at `ordinal` failed for good; `value` is the encoded error."""
    TIMER_FIRED = "timer_fired"
    """The timer at `ordinal` is due."""
    CHILD_COMPLETED = "child_completed"
    """The child run at `ordinal` completed with the outcome `value`."""
    CHILD_FAILED = "child_failed"
    """The child run at `ordinal` ended otherwise; `value` is the encoded error."""
    CANCEL_REQUESTED = "cancel_requested"
    """Somebody asks the run to end; `value` is the encoded reason (text or null)."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that happened to a run.

    Attributes:
        kind: What happened.
        ordinal: Which call it answers; None for `started` and `cancel_requested`.
        value: The payload (JSON text), where the kind has one.
        step_attempt: Which attempt of a step this tells about, from 1; None for other events.
        due: When the next attempt is due; only for `step_retrying`.
    """

    kind: EventKind
    ordinal: int | None = None
    value: str | None = None
    step_attempt: int | None = None
    due: int | None = None


class Step(msgspec.Struct, frozen=True, tag_field="do", tag="step", omit_defaults=True, gc=False):
    """Run the function `name` with `input`; `key` names the step explicitly, beside its order."""

    ordinal: int
    name: str
    input: msgspec.Raw
    key: str | None = None


class Timer(msgspec.Struct, frozen=True, tag_field="do", tag="timer", omit_defaults=True, gc=False):
    """Wake the run at `due`."""

    ordinal: int
    due: int


class Child(msgspec.Struct, frozen=True, tag_field="do", tag="child", omit_defaults=True, gc=False):
    """Start the workflow `name` as a child run with `input` and wait for it."""

    ordinal: int
    name: str
    input: msgspec.Raw
    key: str | None = None


class Cancel(
    msgspec.Struct, frozen=True, tag_field="do", tag="cancel", omit_defaults=True, gc=False
):
    """The body no longer waits for the call at `ordinal`: stop it where that is possible."""

    ordinal: int


class Complete(
    msgspec.Struct, frozen=True, tag_field="do", tag="complete", omit_defaults=True, gc=False
):
    """The body returned; its encoded result is kept on the run, not in the journal."""

    output: str = msgspec.field(default="null")


class Fail(msgspec.Struct, frozen=True, tag_field="do", tag="fail", omit_defaults=True, gc=False):
    """The body raised; its encoded error is kept on the run, not in the journal."""

    error: str = msgspec.field(default="null")


class Cancelled(
    msgspec.Struct, frozen=True, tag_field="do", tag="cancelled", omit_defaults=True, gc=False
):
    """The body ended with `asyncio.CancelledError` after it was asked to end."""


Command = Step | Timer | Child | Cancel | Complete | Fail | Cancelled
Ending = Complete | Fail | Cancelled


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row of a run's journal.

    Attributes:
        seq: Its place: 0, 1, 2 … without gaps.
        at: When it was decided (µs since the epoch, store time). The body's clock shows this.
        attempt: The attempt of the run (see `core.run.Run.attempt`) that wrote it.
        event: What was delivered.
        commands: What that caused, as JSON text written by `encode_commands`; "" for nothing.
    """

    seq: int
    at: int
    attempt: int
    event: Event
    commands: str = ""


_COMPLETE, _FAIL = Complete(), Fail()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Command])


def encode_commands(commands: list[Command]) -> str:
    """Write commands down as a JSON array; "" for none. The payload of an ending is left out."""
    if not commands:
        return ""
    kind = type(commands[-1])
    if kind is Complete:
        commands = [*commands[:-1], _COMPLETE]
    elif kind is Fail:
        commands = [*commands[:-1], _FAIL]
    return _encoder.encode(commands).decode()


def decode_commands(text: str) -> list[Command]:
    """Read what `encode_commands` wrote."""
    return _decoder.decode(text) if text else []
