"""The deterministic forms of waiting, time and chance."""

from __future__ import annotations

import asyncio
import random as _random
import uuid
from datetime import UTC, datetime, timedelta

from perdure.core import duration
from perdure.core.errors import DurationError
from perdure.machine import current

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def sleep(until: str | float | timedelta | datetime) -> None:
    """Wait; in the body of a workflow durably: no process waits for it, and a crash does not end it.

    Args:
        until: How long ("1h30m", "250ms", seconds, a timedelta), or an aware datetime: until then.
            A moment that has passed does not wait.

    Raises:
        DurationError: Not a duration, or a datetime without a time zone.
    """
    if isinstance(until, datetime):
        if until.tzinfo is None:
            raise DurationError(f"{until!r} has no time zone; sleep() needs an aware datetime")
        seconds = max(0.0, (until - now()).total_seconds())
    else:
        seconds = duration.parse(until) / 1_000_000
    await asyncio.sleep(seconds)


def now() -> datetime:
    """The current time, aware, in UTC. In the body of a workflow: the time of the event that it
    is handling, the same in every replay."""
    machine = current()
    if machine is None:
        return datetime.now(UTC)
    return _EPOCH + timedelta(microseconds=machine.now)


def random() -> _random.Random:
    """A random generator, not for secrets. In the body of a workflow: the run's own, the same in
    every replay.

    >>> import perdure
    >>>
    >>> assert 1 <= perdure.random().randint(1, 6) <= 6
    """
    machine = current()
    return _random.Random() if machine is None else machine.random


def uuid4() -> uuid.UUID:
    """A random UUID. In the body of a workflow: the same in every replay."""
    machine = current()
    return uuid.uuid4() if machine is None else machine.uuid4()
