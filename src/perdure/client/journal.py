"""The journal of a run, for people and programs that read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.core.events import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a run's journal.

    Attributes:
        seq: Its place, from 0 without gaps.
        at: When it was decided.
        kind: What happened, as "step_completed" (see `core.events.EventKind`).
        ordinal: Which call of the run it answers, or None.
        name: The name of that call's function or workflow, where it has one.
        step_attempt: Which attempt of a step it tells about, or None.
        due: When the next attempt of a step is due, or None.
        value: The recorded payload, as plain JSON data.
        commands: What the run asked for in turn, as plain JSON data.
        attempt: The attempt of the run that wrote it.
    """

    seq: int
    at: datetime
    kind: str
    ordinal: int | None
    name: str | None
    step_attempt: int | None
    due: datetime | None
    value: Any
    commands: list[dict[str, Any]]
    attempt: int

    def as_json(self) -> dict[str, Any]:
        """The entry as plain JSON data; empty fields are left out."""
        data = {
            "seq": self.seq,
            "at": self.at.isoformat(),
            "kind": self.kind,
            "ordinal": self.ordinal,
            "name": self.name,
            "step_attempt": self.step_attempt,
            "due": self.due.isoformat() if self.due else None,
            "value": self.value,
            "commands": self.commands or None,
            "attempt": self.attempt,
        }
        return {key: value for key, value in data.items() if value is not None}


class Reader:
    """Turns rows into entries, and remembers which call has which name."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def read(self, row: Row) -> Entry:
        """The entry of the next row; rows come in order, from the first."""
        event = row.event
        commands: list[dict[str, Any]] = json.loads(row.commands) if row.commands else []
        name = self._names.get(event.ordinal) if event.ordinal is not None else None
        for command in commands:
            if "name" in command:
                self._names[command["ordinal"]] = command["name"]
        return Entry(
            seq=row.seq,
            at=moment(row.at),
            kind=event.kind.value,
            ordinal=event.ordinal,
            name=name,
            step_attempt=event.step_attempt,
            due=moment(event.due) if event.due is not None else None,
            value=json.loads(event.value) if event.value is not None else None,
            commands=commands,
            attempt=row.attempt,
        )


def moment(us: int) -> datetime:
    """A store time (µs since the epoch) as an aware datetime."""
    return _EPOCH + timedelta(microseconds=us)
