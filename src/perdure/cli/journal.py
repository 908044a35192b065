"""A journal as lines for people: when, what happened, and what the run asked for in turn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from perdure.cli.output import short
from perdure.cli.records import blame
from perdure.cli.times import lasting

if TYPE_CHECKING:
    from perdure.client.journal import Entry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Teller:
    """Tells the entries of one journal, in order."""

    def __init__(self) -> None:
        self._day = ""

    def tell(self, entry: Entry) -> Iterator[str]:
        """The lines of the next entry: the event, and one line for each command."""
        at = entry.at.astimezone()
        day = at.strftime("%Y-%m-%d")
        if day != self._day:
            self._day = day
            yield day
        yield f"{entry.seq:>5}  {at:%H:%M:%S}.{at.microsecond // 1000:03d}  {what(entry)}"
        for command in entry.commands:
            yield f"{'':>5}  {'':>12}    → {asked(command, entry.at)}"


def what(entry: Entry) -> str:
    """What happened, in words."""
    name = f" {entry.name}()" if entry.name else ""
    call = f"{entry.ordinal}{name}"
    attempt = f", attempt {entry.step_attempt}" if (entry.step_attempt or 1) > 1 else ""
    match entry.kind:
        case "started":
            return "the run began"
        case "step_started":
            return f"step {call} began{attempt}"
        case "step_retrying":
            pause = f" in {_until(entry.due, entry.at)}" if entry.due else ""
            return f"step {call} failed{attempt or ', attempt 1'}: {_error(entry)}; again{pause}"
        case "step_completed":
            return f"step {call} completed{attempt}: {short(entry.value)}"
        case "step_failed":
            return f"step {call} failed{attempt}: {_error(entry)}"
        case "timer_fired":
            return f"timer {call} fired"
        case "child_completed":
            return f"child {call} completed: {short(entry.value)}"
        case "child_failed":
            return f"child {call} failed: {_error(entry)}"
        case "cancel_requested":
            return f"asked to end{f': {short(entry.value)}' if entry.value else ''}"
        case _:
            return f"{entry.kind} {call}: {short(entry.value)}"


def asked(command: dict[str, Any], at: datetime) -> str:
    """What the run asked for, in words."""
    call = f"{command.get('ordinal', '')} {command.get('name', '')}".strip()
    match command.get("do"):
        case "step":
            return f"step {call}({_inputs(command.get('input'))})"
        case "timer":
            due = _EPOCH + timedelta(microseconds=command["due"])
            return f"timer {call}, due in {_until(due, at)}"
        case "child":
            return f"child {call}({_inputs(command.get('input'))})"
        case "cancel":
            return f"no longer waits for {call}"
        case "complete":
            return "completed"
        case "fail":
            return "failed"
        case "cancelled":
            return "ended, as it was asked to"
        case _:
            return short(command)


def _inputs(given: Any) -> str:
    if isinstance(given, dict):
        inputs = cast("dict[str, Any]", given).items()
        return short(", ".join(f"{name}={short(value, 40)}" for name, value in inputs), 80)
    return short(given, 80)


def _error(entry: Entry) -> str:
    return short(blame(entry.value), 100) if entry.value else "no reason is recorded"


def _until(due: datetime, at: datetime) -> str:
    return lasting((due - at) // timedelta(microseconds=1))
