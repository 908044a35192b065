"""TIDs: the ids of runs, 64-bit hybrid timestamps.

The upper 53 bits are microseconds since the epoch, the lower 10 a salt that keeps processes that
start runs in the same microsecond apart. A TID is always written as 19 decimal digits, so TIDs sort
as text as they do as numbers, and it fits the signed 64-bit integer of any database. It does not
fit a double, so it is a string in all JSON.

Within a process TIDs grow strictly (`next_tid` is given the last one); across hosts they grow
roughly, as the clocks agree. Uniqueness is the primary key's: on a conflict a new one is made.
"""

from __future__ import annotations

import re

from perdure.core.errors import UsageError

DIGITS = 19
"""How many decimal digits a TID has, until the year 2255."""

_SALT_BITS = 10
_SALT = (1 << _SALT_BITS) - 1
# A host whose clock stands before December 2000 still makes TIDs of 19 digits. Its low bits are 0.
_LOWEST = 10**18
_HIGHEST = (1 << 63) - 1
_TEXT = re.compile(r"[0-9]{19}", re.ASCII)


def next_tid(last: int, now: int, salt: int) -> int:
    """Make a TID that is greater than the last one.

    Args:
        last: The last TID that this process made; 0 for none.
        now: The time (µs since the epoch).
        salt: Any integer; ten bits of it are used.

    Raises:
        UsageError: The clock stands so far in the future that 64 bits do not hold it.
    """
    tid = max(last + 1, (now << _SALT_BITS) | (salt & _SALT), _LOWEST | (salt & _SALT))
    if tid > _HIGHEST:
        raise UsageError(
            f"no TID can be made at {now} µs since the epoch (the year 2255 or later): "
            "set the clock of this host"
        )
    return tid


def tid_time(tid: int) -> int:
    """When a TID was made (µs since the epoch), or a little before."""
    return tid >> _SALT_BITS


def parse_tid(text: str) -> int:
    """Read a whole TID; matching the beginning or the end of one is the store's business.

    Raises:
        UsageError: It is not a TID.
    """
    digits = text.strip()
    tid = int(digits) if _TEXT.fullmatch(digits) else 0
    if not _LOWEST <= tid <= _HIGHEST:
        shown = repr(text) if len(text) <= 60 else repr(text[:57] + "...")
        raise UsageError(f"{shown} is not a TID: a TID has {DIGITS} decimal digits")
    return tid
