"""Store time where the host's clock is all there is: what it follows, and what it does not."""

from __future__ import annotations

import pytest

from perdure.stores import clock
from perdure.stores.clock import HostClock

SECOND = 1_000_000
HOUR = 3600 * SECOND


class Host:
    """A host whose two clocks are set by hand (µs)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = 1_700_000_000 * SECOND
        self.uptime = 12_345 * SECOND
        monkeypatch.setattr(clock.time, "time_ns", lambda: self.wall * 1000)
        monkeypatch.setattr(clock, "_uptime_ns", lambda: self.uptime * 1000)

    def wait(self, microseconds: int) -> None:
        self.wall += microseconds
        self.uptime += microseconds

    def set(self, microseconds: int) -> None:
        """Somebody sets the wall clock, by so much."""
        self.wall += microseconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_it_counts_what_passes(host: Host) -> None:
    """From the wall clock at its start."""
    now = HostClock()
    began = now()
    assert began == host.wall
    host.wait(HOUR)
    assert now() == began + HOUR


def test_a_clock_that_is_set_back_is_not_followed(host: Host) -> None:
    """Nothing waits for an hour that was there already."""
    now = HostClock()
    began = now()
    host.set(-HOUR)
    assert now() == began
    host.wait(SECOND)
    assert now() == began + SECOND


def test_a_clock_that_is_set_ahead_is_followed(host: Host) -> None:
    """It was wrong before, or the host stood still."""
    now = HostClock()
    now()
    host.set(HOUR)
    assert now() == host.wall


def test_a_jump_ahead_that_was_a_mistake_is_taken_back(host: Host) -> None:
    """What is computed after it is of the right time again, as in a process that begins now."""
    now = HostClock()
    now()
    host.set(HOUR)
    host.wait(SECOND)
    assert now() == host.wall
    host.set(-HOUR)
    assert now() == host.wall
    host.wait(SECOND)
    assert now() == host.wall


def test_no_more_is_taken_back_than_was_followed(host: Host) -> None:
    """Beyond that a clock is set back, which is not followed."""
    now = HostClock()
    began = now()
    host.set(HOUR)
    now()
    host.wait(SECOND)
    host.set(-3 * HOUR)
    assert now() == began + SECOND
    host.set(HOUR)
    assert now() == began + SECOND
    host.set(2 * HOUR)
    assert now() == began + HOUR + SECOND


def test_small_steps_are_not_followed(host: Host) -> None:
    """A clock that is set by less than a second has drifted; ours goes on as it is."""
    now = HostClock()
    began = now()
    for step in (SECOND // 2, -SECOND):
        host.set(step)
        assert now() == began
