"""Comparing what the journal says was done with what the code does now: order is identity."""

from __future__ import annotations

from perdure.core.errors import Unreplayable
from perdure.core.events import (
    Cancel,
    Cancelled,
    Child,
    Command,
    Complete,
    Fail,
    Row,
    Step,
    Timer,
    decode_commands,
)


def reconcile(row: Row, commands: list[Command], drift: list[str]) -> list[Step | Timer | Child]:
    """Compare the commands of a replayed row with the recorded ones.

    Args:
        row: The recorded row.
        commands: What the code does now when this row is delivered.
        drift: Takes a sentence for every input that differs.

    Returns:
        The recorded calls that differ without harm: these are the ones that count.

    Raises:
        Unreplayable: They differ in kind, ordinal, name or key, or in number.
    """
    recorded = decode_commands(row.commands)
    kept: list[Step | Timer | Child] = []
    for old, new in zip(recorded, commands, strict=False):
        if _identity(old) != _identity(new):
            raise _parted(row, old, new)
        if isinstance(old, Step | Child) and isinstance(new, Step | Child):
            if bytes(old.input) != bytes(new.input):
                drift.append(
                    f"{words(old)} was called with {_text(old)}, the code now calls it with "
                    f"{_text(new)}; the recorded input counts"
                )
                kept.append(old)
        elif isinstance(old, Timer) and old != new:
            kept.append(old)
    if len(recorded) > len(commands):
        raise _parted(row, recorded[len(commands)], None)
    if len(recorded) < len(commands):
        raise _parted(row, None, commands[len(recorded)])
    return kept


def _identity(command: Command) -> tuple[object, ...]:
    if isinstance(command, Step | Child):
        return type(command), command.ordinal, command.name, command.key
    if isinstance(command, Timer | Cancel):
        return type(command), command.ordinal
    return (type(command),)


def _parted(row: Row, old: Command | None, new: Command | None) -> Unreplayable:
    recorded = "" if old is None else words(old)
    current = "" if new is None else words(new)
    same_ordinal = getattr(old, "ordinal", None) == getattr(new, "ordinal", None)
    said = _deed(new, brief=same_ordinal)
    return Unreplayable(
        f"journal has {recorded or f'nothing more at row {row.seq}'}, code now {said}; "
        "was a change deployed?",
        seq=row.seq,
        recorded=recorded,
        current=current,
    )


def words(command: Command) -> str:
    """A command as a person would name it: "step 7 charge()"."""
    if isinstance(command, Step):
        return f"step {command.ordinal} {command.name}()" + _key(command.key)
    if isinstance(command, Child):
        return f"child {command.ordinal} {command.name}()" + _key(command.key)
    if isinstance(command, Timer):
        return f"timer {command.ordinal}"
    if isinstance(command, Cancel):
        return f"the cancelling of call {command.ordinal}"
    if isinstance(command, Complete):
        return "the end of the body, which returned"
    if isinstance(command, Cancelled):
        return "the end of the body, which was cancelled"
    return "the end of the body, which raised"


def _deed(command: Command | None, *, brief: bool) -> str:
    if command is None:
        return "does nothing"
    if isinstance(command, Step | Child):
        what = f"calls {command.name}(){_key(command.key)}"
        kind = "step" if isinstance(command, Step) else "child"
        return what if brief and kind == "step" else f"{what} as {kind} {command.ordinal}"
    if isinstance(command, Timer):
        return f"waits for a time (timer {command.ordinal})"
    if isinstance(command, Cancel):
        return f"cancels call {command.ordinal}"
    if isinstance(command, Complete):
        return "returns"
    if isinstance(command, Fail):
        return f"raises {command.error}"
    return "ends as cancelled"


def _key(key: str | None) -> str:
    return "" if key is None else f" with key {key!r}"


def _text(command: Step | Child) -> str:
    text = bytes(command.input).decode(errors="replace")
    return text if len(text) <= 200 else f"{text[:200]}…"
