"""TIDs: ordered, 19 digits, and never out of range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.errors import UsageError
from perdure.core.ids import next_tid, parse_tid, tid_time

times = st.integers(0, (1 << 53) - 2)


@given(st.lists(st.tuples(times, st.integers()), min_size=1, max_size=30))
def test_tids_grow_whatever_the_clock_does(ticks: list[tuple[int, int]]) -> None:
    """Each TID is greater than the last, has 19 digits and fits a signed 64-bit integer."""
    last = 0
    for now, salt in ticks:
        tid = next_tid(last, now, salt)
        assert tid > last
        assert len(str(tid)) == 19
        assert tid < 1 << 63
        assert parse_tid(str(tid)) == tid
        last = tid


@given(st.integers(10**15, 1 << 52), st.integers())
def test_time_is_in_the_tid(now: int, salt: int) -> None:
    """A TID made by a clock that moves forward tells its microsecond."""
    assert tid_time(next_tid(0, now, salt)) == now


def test_salt_keeps_processes_apart() -> None:
    """Two processes that start a run in the same microsecond make different TIDs."""
    now = 1_800_000_000_000_000
    assert len({next_tid(0, now, salt) for salt in range(1024)}) == 1024


@pytest.mark.parametrize(
    "text",
    ["", "42", "x" * 19, "0" * 19, "9" * 19, "1" * 20, "-" + "1" * 19, "１" * 19, "1" * 5000],
)
def test_refuses_what_is_no_tid(text: str) -> None:
    """Anything but 19 digits in range is refused, shortly."""
    with pytest.raises(UsageError, match="is not a TID") as refused:
        parse_tid(text)
    assert len(str(refused.value)) < 130


def test_refuses_a_clock_beyond_64_bits() -> None:
    """A clock in the far future is named rather than stored as garbage."""
    with pytest.raises(UsageError, match="set the clock"):
        next_tid(0, 1 << 53, 0)
