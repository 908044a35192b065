"""Retries: the delays of every policy, and who is never retried."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.errors import (
    ContractError,
    DeclarationError,
    EncodingError,
    NonRetryable,
    RetryAfter,
    StoreUnavailable,
)
from perdure.core.retry import NEVER, Retry, decide_retry

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
RNG = random.Random(7)


def delays(policy: Retry, error: BaseException, attempts: int = 8) -> list[float | None]:
    """The delay in seconds after each attempt; None: given up."""
    told = [decide_retry(policy, error, n, now=NOW, rng=RNG) for n in range(1, attempts + 1)]
    return [None if due is None else (due - NOW) / SECOND for due in told]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Retry.of(None), [None, None]),
        (Retry.of(0), [None, None]),
        (Retry.of([]), [None, None]),
        (Retry.fixed(2, delay="5s"), [5, 5, None]),
        (Retry.of(["1s", 2, timedelta(seconds=3)]), [1, 2, 3, None]),
        (Retry.listed([1, 2], retries=4), [1, 2, 2, 2, None]),
        (Retry.listed([5, 1], retries=None), [5, 1, 1, 1, 1, 1]),
        (Retry.exponential(5, jitter=False, cap=8), [1, 2, 4, 8, 8, None]),
        (Retry.exponential(None, base="100ms", factor=3, jitter=False), [0.1, 0.3, 0.9, 2.7]),
        (Retry.exponential(2, base=0, jitter=False), [0, 0, None]),
        (Retry.exponential(2, base="10m", cap="1m", jitter=False), [60, 60, None]),
    ],
)
def test_delays(policy: Retry, expected: list[float | None]) -> None:
    """Each policy gives its delays and then gives up; `retries=n` means n + 1 attempts."""
    assert delays(policy, OSError("no"), len(expected)) == expected


def test_a_number_is_exponential_with_jitter() -> None:
    """`retries=3` retries three times, with growing delays of which at most half is chance."""
    given_up = delays(Retry.of(3), OSError("no"), 5)
    assert given_up[3:] == [None, None]
    for delay, full in zip(given_up, [1, 2, 4], strict=False):
        assert delay is not None
        assert full / 2 <= delay <= full


@given(
    retry=st.integers(1, 10**6),
    base=st.integers(0, 10**9),
    factor=st.floats(1, 1e6),
    cap=st.integers(0, 10**9),
    seed=st.integers(),
)
def test_jitter_stays_below_the_cap(
    retry: int, base: int, factor: float, cap: int, seed: int
) -> None:
    """Equal jitter is bounded by the cap, and no number of attempts overflows."""
    policy = Retry(max_attempts=None, delays=(base,), factor=factor, cap=cap, jitter=True)
    full = Retry(max_attempts=None, delays=(base,), factor=factor, cap=cap)
    rng = random.Random(seed)
    delay = policy.delay(retry, rng)
    assert full.delay(retry, rng) / 2 <= delay <= full.delay(retry, rng) <= cap


class Odd(Exception):
    """An error with whatever attributes a test gives it."""


def odd(**attributes: Any) -> Odd:
    error = Odd("odd")
    error.__dict__.update(attributes)
    return error


class Broken(Exception):
    """An error whose attributes cannot be read."""

    @property
    def retryable(self) -> bool:
        raise RuntimeError("broken")

    @property
    def retry_after(self) -> float:
        raise RuntimeError("broken")


@pytest.mark.parametrize(
    "error",
    [
        NonRetryable("no"),
        ContractError("no"),
        EncodingError("no"),
        odd(retryable=False),
        odd(retryable=False, retry_after=1),
        KeyboardInterrupt(),
        SystemExit(1),
        asyncio.CancelledError(),
        PermissionError("listed as an OSError"),
    ],
)
def test_never_retried(error: BaseException) -> None:
    """What would fail again, and what is no Exception, is given up at once."""
    policy = Retry.fixed(9, delay=1, non_retryable=[OSError])
    assert delays(policy, error, 1) == [None]


@pytest.mark.parametrize("error", [StoreUnavailable("x"), Broken(), odd(retryable=None), Odd()])
def test_others_are_retried(error: BaseException) -> None:
    """Everything else is retried, also an error whose attributes are broken."""
    assert delays(Retry.fixed(1, delay=1), error, 2) == [1, None]


@pytest.mark.parametrize(
    ("after", "delay"),
    [
        (7, 7),
        (0.25, 0.25),
        ("1m30s", 90),
        ("120", 120),
        (timedelta(hours=1), 3600),
        (datetime.fromtimestamp(NOW / SECOND + 60, UTC), 60),
        (datetime.fromtimestamp(NOW / SECOND - 60, UTC), 0),
        (0, 0),
        (None, 5),
        (-3, 5),
        (float("nan"), 5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 5),
        (datetime(2040, 1, 1), 5),
        (object(), 5),
    ],
)
def test_retry_after(after: Any, delay: float) -> None:
    """`retry_after` replaces the policy's delay, where it can be understood; it adds no attempt."""
    assert delays(Retry.fixed(1, delay=5), odd(retry_after=after), 2) == [delay, None]
    assert delays(NEVER, odd(retry_after=after), 1) == [None]


def test_retry_after_is_an_exception_of_ours() -> None:
    """RetryAfter needs no class of one's own."""
    assert delays(Retry.of(1), RetryAfter("later", retry_after="2s"), 1) == [2]


@pytest.mark.parametrize("spec", [True, -1, 1.5, "3", {"a": 1}, object(), ["soon"], [-1], [None]])
def test_bad_specs_are_named(spec: Any) -> None:
    """What `retries=` cannot keep is refused with its value."""
    with pytest.raises(DeclarationError, match="retries="):
        Retry.of(spec)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Retry.exponential(3, factor=0.5), "factor=0.5"),
        (lambda: Retry.exponential(3, factor=float("inf")), "factor=inf"),
        (lambda: Retry.exponential(3, base="x"), "base='x'"),
        (lambda: Retry.fixed(-2), "retries=-2"),
        (lambda: Retry.fixed(1, non_retryable=["OSError"]), "'OSError'"),  # type: ignore[list-item]
        (lambda: Retry(max_attempts=0), "max_attempts=0"),
        (lambda: Retry(max_attempts=1, delays=()), "delays=()"),
    ],
)
def test_bad_policies_are_named(make: Any, says: str) -> None:
    """A policy that cannot be kept is refused where it is declared."""
    with pytest.raises(DeclarationError) as refused:
        make()
    assert says in str(refused.value)


def test_in_words() -> None:
    """A policy can be shown to people."""
    assert str(Retry.of(3)) == "retried 3 times after 1s, x2 up to 5m"
    assert str(NEVER) == "never retried"
