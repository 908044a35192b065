"""Store times (µs since the epoch) as people and programs read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(us: int) -> datetime:
    """A store time as an aware datetime."""
    return _EPOCH + timedelta(microseconds=us)


def iso(us: int | None) -> str | None:
    """A store time as JSON has it, in UTC."""
    return None if us is None else moment(us).isoformat()


def local(us: int | None) -> str:
    """A store time as a person reads it, in the local time zone; "" for None."""
    if us is None:
        return ""
    return moment(us).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def lasting(us: int) -> str:
    """How long something took, in at most two units: "12 ms", "3.4 s", "5 min 2 s", "3 d 4 h"."""
    us = max(us, 0)
    if us < 1_000_000:
        return f"{us // 1000} ms"
    seconds = us / 1_000_000
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {name}"
    raise AssertionError(us)
