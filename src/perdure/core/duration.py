"""How long: text, numbers and timedeltas become whole microseconds, and back to text for people.

Rules of this file:

1. A duration is a whole number of microseconds, zero or more. Numbers are seconds.
2. What is longer than nothing never becomes nothing: 1e-9 seconds are one microsecond.
3. `parse(show(us)) == us` for every duration.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import cast

from perdure.core.errors import DurationError

Duration = str | int | float | timedelta
"""What users may write where a duration is asked for."""

SECOND = 1_000_000
"""Microseconds in a second."""

LONGEST = 1000 * 365 * 86_400 * SECOND
"""The longest duration, a thousand years: added to any date, it still fits the database."""

_UNITS = {
    "w": 7 * 86_400 * SECOND,
    "d": 86_400 * SECOND,
    "h": 3_600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": 1_000,
    "us": 1,
}
_SPELLINGS = {
    "w": ("week", "weeks"),
    "d": ("day", "days"),
    "h": ("hr", "hrs", "hour", "hours"),
    "m": ("min", "mins", "minute", "minutes"),
    "s": ("sec", "secs", "second", "seconds"),
    "ms": ("millisecond", "milliseconds"),
    "us": ("µs", "μs", "microsecond", "microseconds"),
}
_UNIT_OF = {
    spelling: _UNITS[unit]
    for unit, spellings in _SPELLINGS.items()
    for spelling in (unit, *spellings)
}
_PART = re.compile(r"\s*([0-9]+)(?:\.([0-9]+))?\s*([a-zµμ]*)", re.ASCII)
_MEND = 'write "250ms", "1h30m", a number of seconds or a timedelta'


def parse(value: Duration) -> int:
    """Read a duration.

    Args:
        value: Text such as "1h30m", "250ms" or "1.5s"; a number (or a number as text) of seconds;
            a timedelta.

    Returns:
        Whole microseconds.

    Raises:
        DurationError: It is not a duration, negative, or longer than a thousand years.
    """
    # Callers hand in whatever stood in a decorator or a file, so the types are looked at.
    given = cast("object", value)
    if isinstance(given, str):
        us = _parse_text(given)
    elif isinstance(given, bool):
        raise DurationError(f"{given!r} is not a duration: {_MEND}")
    elif isinstance(given, int):
        us = given * SECOND
    elif isinstance(given, float):
        us = _parse_float(given)
    elif isinstance(given, timedelta):
        us = given // timedelta(microseconds=1)
    else:
        raise DurationError(f"{given!r} ({type(given).__name__}) is not a duration: {_MEND}")
    if us < 0:
        raise DurationError(f"{_shown(given)} is negative, and a duration is not: {_MEND}")
    if us > LONGEST:
        raise DurationError(f"{_shown(given)} is longer than a thousand years: {_MEND}")
    return us


def show(us: int) -> str:
    """Write a duration for people: "1h30m", "1.5s", "250ms".

    Args:
        us: Microseconds; a negative number (a difference) gets a minus sign.
    """
    if us < 0:
        return "-" + show(-us)
    if us == 0:
        return "0s"
    if us < 1_000:
        return f"{us}us"
    if us < SECOND:
        return _decimal(us, 1_000) + "ms"
    shown = ""
    for unit in ("d", "h", "m"):
        count, us = divmod(us, _UNITS[unit])
        if count:
            shown += f"{count}{unit}"
    return shown + (_decimal(us, SECOND) + "s" if us else "")


def _parse_text(text: str) -> int:
    lowered = text.strip()
    if not lowered:
        raise DurationError(f"{text!r} is not a duration: {_MEND}")
    if lowered.startswith("-"):
        raise DurationError(f"{text!r} is negative, and a duration is not: {_MEND}")
    total, place, above = 0, 0, 0
    while place < len(lowered):
        part = _PART.match(lowered, place)
        if part is None:
            raise DurationError(f"{text!r} is not a duration: {_MEND}")
        whole, fraction, spelling = part.group(1), part.group(2) or "", part.group(3)
        if not spelling and place == 0 and part.end() == len(lowered):
            unit = SECOND
        elif spelling in _UNIT_OF:
            unit = _UNIT_OF[spelling]
        else:
            raise DurationError(f"{text!r} is not a duration: there is no unit {spelling!r}")
        if above and unit >= above:
            raise DurationError(
                f"{text!r} is not a duration: write each unit once, the longest first"
            )
        if len(whole) > 20 or len(fraction) > 20:
            raise DurationError(f"{_shown(text)} has too many digits for a duration: {_MEND}")
        total += _scaled(whole, fraction, unit)
        above, place = unit, part.end()
    return total


def _scaled(whole: str, fraction: str, unit: int) -> int:
    scale = 10 ** len(fraction)
    digits = int(whole) * scale + int(fraction or 0)
    us = (2 * digits * unit + scale) // (2 * scale)
    return max(us, 1) if digits else 0


def _parse_float(seconds: float) -> int:
    if not math.isfinite(seconds):
        raise DurationError(f"{seconds!r} is not a duration: {_MEND}")
    us = round(seconds * SECOND) if abs(seconds) < 1e12 else int(seconds) * SECOND
    return 1 if us == 0 and seconds > 0 else -1 if us == 0 and seconds < 0 else us


def _decimal(us: int, unit: int) -> str:
    whole, rest = divmod(us, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}}".rstrip("0") if rest else str(whole)


def _shown(value: object) -> str:
    # repr() of an int with thousands of digits raises a ValueError of its own.
    if isinstance(value, int) and value.bit_length() > 256:
        return "this number of seconds"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
