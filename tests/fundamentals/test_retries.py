"""Retries: failed attempts are followed by others, and the journal tells of each."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise

import pytest

from perdure import NonRetryable, Retry, RetryAfter, RunFailed, function, start, workflow


def fails(times: int, error: Exception):
    """A function that fails so often before it says how many attempts it took."""
    attempts = []

    async def body() -> int:
        attempts.append(time.monotonic())
        if len(attempts) <= times:
            raise error
        return len(attempts)

    return body, attempts


def pauses(attempts: list[float]) -> list[float]:
    """The pauses between attempts as they were kept, in seconds."""
    return [later - earlier for earlier, later in pairwise(attempts)]


def are_kept(kept: list[float], wanted: list[float]) -> bool:
    """Never shorter, and longer only by what a busy machine adds."""
    pairs = zip(kept, wanted, strict=True)
    return all(want - 0.001 <= had < want + 0.5 for had, want in pairs)


def test_without_retries_the_first_error_goes_to_the_workflow(host):
    """A function that declares nothing is tried once."""
    body, attempts = fails(1, OSError("down"))
    call = function(name="once")(body)

    @workflow
    async def ask() -> int:
        return await call()

    with pytest.raises(RunFailed, match="OSError: down"):
        start(ask).result()
    assert len(attempts) == 1


def test_a_list_says_each_pause(host):
    """`retries=[…]` retries as often as it is long, and waits as it says."""
    body, attempts = fails(2, OSError("down"))
    call = function(name="listed", retries=["10ms", timedelta(milliseconds=30)])(body)

    @workflow
    async def ask() -> int:
        return await call()

    handle = start(ask)
    assert handle.result() == 3
    assert are_kept(pauses(attempts), [0.01, 0.03])


def test_exponential_pauses_grow_up_to_the_cap(host):
    """base, base x factor, …, cap; jitter keeps at least half of each."""
    body, attempts = fails(4, OSError("down"))
    policy = Retry.exponential(4, base="10ms", factor=3, cap="50ms", jitter=True)
    call = function(name="growing", retries=policy)(body)

    @workflow
    async def ask() -> int:
        return await call()

    handle = start(ask)
    assert handle.result() == 5
    assert are_kept(pauses(attempts), [0.005, 0.015, 0.025, 0.025])
    dues = [entry.due - entry.at for entry in handle.events() if entry.kind == "step_retrying"]
    for due, most in zip(dues, [0.01, 0.03, 0.05, 0.05], strict=True):
        assert due.total_seconds() <= most


def test_when_the_retries_are_used_up_the_last_error_counts(host):
    """The workflow sees the error of the last attempt, as its own class."""
    numbers = []

    @function(retries=[0, 0])
    async def hopeless() -> None:
        numbers.append(1)
        raise LookupError(f"attempt {len(numbers)}")

    @workflow
    async def ask() -> str:
        try:
            await hopeless()
        except LookupError as error:
            return str(error)
        return "no error"

    assert start(ask).result() == "attempt 3"


def test_an_error_may_say_how_long_to_wait(host):
    """`RetryAfter`, or any error with `retry_after`, replaces the pause of the policy."""
    body, attempts = fails(1, RetryAfter("busy", retry_after="20ms"))
    call = function(name="polite", retries=Retry.fixed(1, delay="1h"))(body)

    @workflow
    async def ask() -> int:
        return await call()

    handle = start(ask)
    assert handle.result(10) == 2
    assert are_kept(pauses(attempts), [0.02])


def test_an_error_may_forbid_retries(host):
    """`NonRetryable`, or any error with `retryable = False`, ends the attempts."""
    body, attempts = fails(9, NonRetryable("card expired"))
    call = function(name="final", retries=[0, 0, 0])(body)

    @workflow
    async def ask() -> int:
        return await call()

    with pytest.raises(RunFailed, match="card expired"):
        start(ask).result()
    assert len(attempts) == 1


def test_a_policy_names_errors_that_are_never_retried(host):
    """`non_retryable` takes classes; their subclasses count too."""
    body, attempts = fails(9, KeyError("gone"))
    policy = Retry.fixed(3, delay=0, non_retryable=[LookupError])
    call = function(name="choosy", retries=policy)(body)

    @workflow
    async def ask() -> int:
        return await call()

    with pytest.raises(RunFailed, match="KeyError"):
        start(ask).result()
    assert len(attempts) == 1


def test_catching_exceptions_around_a_retried_step_is_harmless(host):
    """Waiting for the next attempt is no exception, so `except Exception` cannot swallow it."""
    body, _attempts = fails(2, OSError("down"))
    call = function(name="wrapped", retries=[0.01, 1.2])(body)

    @workflow
    async def guarded() -> str:
        try:
            return f"got {await call()}"
        except Exception as error:
            return f"caught {type(error).__name__}"

    handle = start(guarded)
    assert handle.result() == "got 3"
    kinds = [entry.kind for entry in handle.events()]
    assert kinds == ["started", "step_retrying", "step_retrying", "step_completed"]
