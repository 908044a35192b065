"""A run as a command shows it: as JSON, and as lines for people."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from perdure.cli.output import short
from perdure.cli.times import iso, lasting, local
from perdure.core.run import Run, Status

if TYPE_CHECKING:
    from perdure.store import Store


def with_reason(run: Run, store: Store) -> Run:
    """A run as a command tells of it: a cancelled one with why, which its journal knows."""
    if run.status is not Status.CANCELLED:
        return run
    from perdure.core.events import EventKind  # `list` has no use for it

    for row in reversed(store.journal(run.tid)):
        if row.event.kind is EventKind.CANCEL_REQUESTED:
            return dataclasses.replace(run, reason=_reason(row.event.value))
    return run


def _reason(value: str | None) -> str | None:
    said: object = None if value is None else json.loads(value)
    return said if isinstance(said, str) and said else None


def brief(run: Run) -> dict[str, Any]:
    """A run without its payloads, as JSON data; a TID is a string, 19 digits do not fit a double."""
    return {
        "tid": str(run.tid),
        "status": run.status.value,
        "kind": run.kind.value,
        "name": run.name,
        "version": run.version,
        "key": run.key,
        "namespace": run.namespace,
        "parent": None if run.parent is None else str(run.parent),
        "attempt": run.attempt,
        "crashes": run.crashes,
        "worker": None if run.worker is None else str(run.worker),
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "wake_at": iso(run.wake_at),
        "reason": run.reason,
        "progress": None if run.progress is None else json.loads(run.progress),
    }


def whole(run: Run) -> dict[str, Any]:
    """A run with its payloads, as JSON data."""
    return {
        **brief(run),
        "source": run.source,
        "python": run.python,
        "input": json.loads(run.input),
        "result": None if run.output is None else json.loads(run.output),
        "error": None if run.error is None else json.loads(run.error),
    }


def fields(run: Run, now: int, worker: str) -> Iterator[tuple[str, str]]:
    """A run as lines for people.

    Args:
        run: The run.
        now: Store time.
        worker: What the worker that holds it is called; "" if nobody does.
    """
    yield "run", str(run.tid)
    yield run.kind.value, f"{run.name}{f' version {run.version}' if run.version else ''}"
    yield "status", run.status.value
    yield "reason", run.reason or ""
    if run.progress:
        yield "progress", told(json.loads(run.progress))
    yield "key", run.key or ""
    yield "parent", "" if run.parent is None else str(run.parent)
    yield "source", run.source
    yield "started", local(run.created_at)
    yield "finished", local(run.finished_at)
    yield "took" if run.status.is_final else "age", took(run, now)
    if run.wake_at is not None and run.wake_at > now:
        yield "goes on", f"{local(run.wake_at)} (in {lasting(run.wake_at - now)})"
    yield "worker", worker
    yield "crashes", str(run.crashes) if run.crashes else ""
    yield "input", short(json.loads(run.input), 200)
    if run.output is not None:
        yield "result", short(json.loads(run.output), 200)
    if run.error is not None:
        yield "error", blame(run.error)


def told(progress: dict[str, Any]) -> str:
    """The latest progress of a step, in words."""
    done, total = progress.get("done"), progress.get("total")
    amount = f"{done:g}" if isinstance(done, int | float) else ""
    if isinstance(total, int | float) and total:
        amount += f" of {total:g}"
    return " ".join(part for part in (amount, str(progress.get("message") or "")) if part)


def took(run: Run, now: int) -> str:
    """How long a run has taken until now, or took in all."""
    return lasting((run.finished_at or now) - run.created_at)


def blame(error: Any) -> str:
    """A recorded error in one line: its type and message."""
    told = json.loads(error) if isinstance(error, str) else error
    name = str(told.get("type", "error")).rpartition(":")[2]
    message = str(told.get("message", ""))
    return f"{name}: {message}" if message else name


def traceback_of(error: str) -> str:
    """The traceback of a recorded error, with those of its causes; "" if there is none."""
    told: dict[str, Any] | None = json.loads(error)
    texts: list[str] = []
    while told:
        if told.get("traceback"):
            texts.append(str(told["traceback"]).rstrip())
        told = told.get("cause")
    return "\n\nwhich was caused by:\n\n".join(texts)


def stands_still(status: Status) -> bool:
    """Whether waiting for a run is of no use: it is finished, or waits for a person."""
    return status.is_final or status in (Status.STUCK, Status.BLOCKED)
