"""Durations: what is read, what is shown, and what is refused."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.duration import LONGEST, parse, show
from perdure.core.errors import DurationError

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("value", "us"),
    [
        ("1h30m", 5400 * SECOND),
        ("1h 30m", 5400 * SECOND),
        (" 5 minutes ", 300 * SECOND),
        ("250ms", 250_000),
        ("1.5s", 1_500_000),
        ("1.5h", 5400 * SECOND),
        ("2d", 2 * 86_400 * SECOND),
        ("1w", 7 * 86_400 * SECOND),
        ("10us", 10),
        ("10µs", 10),
        ("0s", 0),
        ("30", 30 * SECOND),
        ("0.5", 500_000),
        (0, 0),
        (30, 30 * SECOND),
        (0.1, 100_000),
        (1e-9, 1),
        ("0.1us", 1),
        (timedelta(days=1, microseconds=1), 86_400 * SECOND + 1),
        (1000 * 365 * 86_400, LONGEST),
    ],
)
def test_reads(value: Any, us: int) -> None:
    """Text, numbers of seconds and timedeltas are read to the microsecond."""
    assert parse(value) == us


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "''"),
        ("  ", "'  '"),
        ("5 parsecs", "'parsecs'"),
        ("h", "'h'"),
        ("1h1h", "each unit once"),
        ("1s1h", "the longest first"),
        ("1h5", "no unit ''"),
        ("1H", "'1H'"),
        ("-5s", "negative"),
        ("1e3s", "'e'"),
        ("1,5s", "'1,5s'"),
        ("٣s", "'٣s'"),
        ("9" * 30 + "s", "too many digits"),
        (-1, "-1 is negative"),
        (-1e-9, "negative"),
        (timedelta(microseconds=-1), "negative"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (1e300, "1e+300 is longer"),
        (True, "True"),
        (None, "None (NoneType)"),
        ([1], "[1] (list)"),
    ],
)
def test_refuses_by_name(value: Any, says: str) -> None:
    """What is no duration is refused with the value and the mend."""
    with pytest.raises(DurationError) as refused:
        parse(value)
    assert says in str(refused.value)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (1, "1us"),
        (1_500, "1.5ms"),
        (250_000, "250ms"),
        (1_500_000, "1.5s"),
        (5_400_000_000, "1h30m"),
        (86_400_000_000 * 14, "14d"),
        (3_601_000_001, "1h1.000001s"),
        (-60_000_000, "-1m"),
    ],
)
def test_shows(us: int, text: str) -> None:
    """A duration is shown in the largest units that it fills."""
    assert show(us) == text


@given(st.integers(0, LONGEST))
def test_shown_text_is_read_back(us: int) -> None:
    """Whatever is shown is read back as the same duration."""
    assert parse(show(us)) == us


@given(st.timedeltas(timedelta(0), timedelta(days=365_000)))
def test_timedelta_is_exact(value: timedelta) -> None:
    """A timedelta keeps every microsecond."""
    assert timedelta(microseconds=parse(value)) == value


def test_refuses_a_number_too_long_to_print() -> None:
    """A number that Python does not even print is refused in the same way."""
    with pytest.raises(DurationError, match="longer than a thousand years"):
        parse(10**5000)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text leads to another exception."""
    try:
        assert 0 <= parse(text) <= LONGEST
    except DurationError:
        pass
