"""Replaying recorded journals with today's code: will the runs that are under way go on?

Keep journals of typical runs beside the tests of a workflow, and replay them in CI:

>>> from perdure.testing.replay import Journal, replay
>>> replay(fulfil, Journal.read("tests/journals/fulfil.json"))    # doctest: +SKIP

A change of the body that would park running ones as stuck fails here first, with the same words.
Nothing is executed and no database is needed. `Journal.of(run).write(path)` makes the files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import msgspec

from perdure.author.function import Function
from perdure.author.workflow import Workflow
from perdure.client.handle import Run
from perdure.core.errors import DecodingError, Unreplayable
from perdure.core.events import Complete, Event, EventKind, Fail, Row, decode_commands
from perdure.core.run import JOURNAL_FORMAT, Kind, NewRun, Status
from perdure.engine.resident import Resident

FORMAT = f"perdure-journal/{JOURNAL_FORMAT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """A run with all that was recorded of it.

    Attributes:
        tid: Its TID; `random()` in its body depends on it.
        kind, name, version, key: As on the run.
        input: Its encoded input (JSON text).
        rows: Its journal, from the first row.
        status, output, error: How it ended (encoded), as far as it has.
    """

    tid: int
    kind: Kind
    name: str
    version: str
    key: str | None
    input: str
    rows: Sequence[Row]
    status: Status
    output: str | None = None
    error: str | None = None

    @classmethod
    def of(cls, run: Run[Any]) -> Self:
        """The journal of a run that was started.

        Raises:
            RunNotFound: It was deleted.
        """
        record = run.record()
        return cls(
            tid=record.tid,
            kind=record.kind,
            name=record.name,
            version=record.version,
            key=record.key,
            input=record.input,
            rows=run.rows(),
            status=record.status,
            output=record.output,
            error=record.error,
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `write` has made.

        Raises:
            DecodingError: It is not such a file, or one of a later version of Perdure.
        """
        text = Path(path).read_text(encoding="utf-8")
        try:
            data = json.loads(text)
            form = data["format"]
        except (ValueError, TypeError, KeyError):
            raise DecodingError(f"{path} is not a journal that Journal.write() has made") from None
        if form != FORMAT:
            raise DecodingError(f"{path} has the format {form!r}; this Perdure reads {FORMAT!r}")
        return cls(
            tid=int(data["tid"]),
            kind=Kind(data["kind"]),
            name=data["name"],
            version=data["version"],
            key=data["key"],
            input=_text(data["input"]),
            rows=[_row(seq, row) for seq, row in enumerate(data["rows"])],
            status=Status(data["status"]),
            output=_text_or_none(data.get("output")),
            error=_text_or_none(data.get("error")),
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON that people can read and compare; `read` reads it back."""
        data = {
            "format": FORMAT,
            "tid": str(self.tid),
            "kind": self.kind.value,
            "name": self.name,
            "version": self.version,
            "key": self.key,
            "input": [self.input],
            "status": self.status.value,
            "output": None if self.output is None else [self.output],
            "error": None if self.error is None else [self.error],
            "rows": [_written(row) for row in self.rows],
        }
        text = json.dumps(data, indent=1, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")


def replay(
    definition: Workflow[Any, Any] | Function[Any, Any],
    journal: Journal,
    *,
    strict: bool = True,
) -> None:
    """Run the body of a workflow against a journal; nothing is executed, nothing is stored.

    Args:
        definition: Today's code.
        journal: What a run of it recorded.
        strict: Inputs of calls, and the result, must be the same, too. In production other inputs
            only warn: what is recorded counts.

    Raises:
        Unreplayable: The code does something else than what is recorded; both sides are named.
    """
    run = NewRun(
        tid=journal.tid,
        kind=journal.kind,
        name=journal.name,
        version=journal.version,
        key=journal.key,
        input=journal.input,
        at=0,
    )
    resident = Resident(run, definition, attempt=1)
    try:
        resident.replay(list(journal.rows))
        if strict:
            _check_strictly(resident, journal)
    finally:
        resident.machine.close()


def _check_strictly(resident: Resident, journal: Journal) -> None:
    last = len(journal.rows) - 1
    if resident.machine.drift:
        raise Unreplayable("; ".join(resident.machine.drift), seq=last)
    ending = resident.machine.ending
    if isinstance(ending, Complete) and ending.output != journal.output:
        raise Unreplayable(
            f"the run returned {journal.output}, the code now returns {ending.output}",
            seq=last,
            recorded=journal.output or "",
            current=ending.output,
        )
    if isinstance(ending, Fail) and _kind_of(ending.error) != _kind_of(journal.error):
        raise Unreplayable(
            f"the run failed with {journal.error}, the code now fails with {ending.error}",
            seq=last,
            recorded=journal.error or "",
            current=ending.error,
        )


def _kind_of(error: str | None) -> tuple[object, object]:
    """What two equal errors have in common; tracebacks tell of lines that may move."""
    data: dict[str, object] = json.loads(error or "{}")
    return data.get("type"), data.get("message")


# --- The file ------------------------------------------------------------------------------------

# Payloads are kept to the letter, since commands are compared as text: each stands in a list of its
# own, which also keeps the payload null apart from none.


def _written(row: Row) -> dict[str, Any]:
    event = row.event
    data: dict[str, Any] = {"at": row.at, "attempt": row.attempt, "event": event.kind.value}
    if event.ordinal is not None:
        data["ordinal"] = event.ordinal
    if event.value is not None:
        data["value"] = [event.value]
    if event.step_attempt is not None:
        data["step_attempt"] = event.step_attempt
    if event.due is not None:
        data["due"] = event.due
    if row.commands:
        data["commands"] = [msgspec.json.encode(c).decode() for c in decode_commands(row.commands)]
    return data


def _row(seq: int, data: dict[str, Any]) -> Row:
    event = Event(
        kind=EventKind(data["event"]),
        ordinal=data.get("ordinal"),
        value=_text_or_none(data.get("value")),
        step_attempt=data.get("step_attempt"),
        due=data.get("due"),
    )
    commands = cast("list[str]", data.get("commands", []))
    return Row(
        seq=seq,
        at=data["at"],
        attempt=data["attempt"],
        event=event,
        commands=f"[{','.join(commands)}]" if commands else "",
    )


def _text(boxed: list[str]) -> str:
    return boxed[0]


def _text_or_none(boxed: list[str] | None) -> str | None:
    return None if boxed is None else boxed[0]
