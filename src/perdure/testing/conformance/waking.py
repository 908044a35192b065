"""`poke`, `listen`, `now`, `close`, and what a second `Store` object on the same database sees."""

from __future__ import annotations

import select
import time
from contextlib import closing

import pytest

from perdure.core.run import Status
from perdure.store import Listener, Store
from perdure.testing.conformance.scenes import (
    NOW,
    WORKER,
    a_claim,
    a_row,
    a_run,
    a_turn,
    everything,
    one_turn,
    run_of,
    tids_of,
    with_held,
    with_worker,
)

SOON = 5.0
"""How long a poke may take until the suite calls it lost (seconds)."""


def heard(listener: Listener, timeout: float = SOON) -> bool:
    """Whether the listener is readable, or becomes so in time."""
    return bool(select.select([listener], [], [], timeout)[0])


class Waking:
    """Pokes, the clock, and other `Store` objects."""

    def another(self, store: Store) -> Store:
        """A second `Store` object on the same database."""
        raise pytest.skip.Exception("this backend has one Store object per database")

    def test_a_poke_that_nobody_hears_is_no_error(self, store: Store) -> None:
        """Nobody listens; nothing happens."""
        store.poke()

    def test_a_poke_wakes_who_listens_elsewhere(self, store: Store) -> None:
        """Every listener of another `Store` object becomes readable, and quiet when drained."""
        with (
            closing(self.another(store)) as other,
            closing(other.listen()) as first,
            closing(other.listen()) as second,
        ):
            assert not heard(first, 0)
            store.poke()
            assert heard(first)
            assert heard(second)
            for listener in (first, second):
                listener.drain()
                assert not heard(listener, 0)
                listener.drain()

    def test_many_pokes_are_one(self, store: Store) -> None:
        """However often it is poked, a listener that is drained once is quiet."""
        with closing(self.another(store)) as other, closing(other.listen()) as listener:
            for _ in range(1000):
                store.poke()
            assert heard(listener)
            deadline = time.monotonic() + SOON
            while heard(listener, 0.05) and time.monotonic() < deadline:
                listener.drain()
            assert not heard(listener, 0)

    def test_a_poke_does_not_wake_oneself(self, store: Store) -> None:
        """The listeners of the same `Store` object are not told what it did itself."""
        with closing(self.another(store)) as other, closing(store.listen()) as listener:
            with closing(other.listen()) as elsewhere:
                store.poke()
                assert heard(elsewhere)
            assert not heard(listener, 0.05)
            other.poke()
            assert heard(listener)

    def test_a_closed_listener_is_poked_in_vain(self, store: Store) -> None:
        """Closing twice is fine, and poking goes on."""
        other = self.another(store)
        listener = other.listen()
        listener.close()
        listener.close()
        store.poke()
        other.close()
        store.poke()

    def test_a_listener_can_be_waited_for(self, store: Store) -> None:
        """A listener has a descriptor, and is quiet at first."""
        with closing(store.listen()) as listener:
            assert not heard(listener, 0)
            listener.drain()

    def test_store_time_is_now_and_never_goes_back(self, store: Store) -> None:
        """µs since the epoch, UTC; two hosts' clocks may differ by a little."""
        assert abs(store.now() - time.time_ns() // 1000) < 5_000_000
        times = [store.now() for _ in range(100)]
        assert times == sorted(times)

    def test_closing_twice_is_fine(self, store: Store) -> None:
        """Whoever closes need not know whether somebody did."""
        store.close()
        store.close()

    def test_what_was_written_is_seen_by_others(self, store: Store) -> None:
        """Another `Store` object sees all of it, and goes on with it."""
        with_held(store, 7)
        one_turn(store, a_turn(7, a_row(0)))
        with closing(self.another(store)) as other:
            assert everything(other) == everything(store)
            store.retire(WORKER)
            with_worker(other, 200)
            assert tids_of(other.claim(a_claim(worker=200), NOW)) == [7]
            assert run_of(store, 7).worker == 200

    def test_what_was_written_outlives_its_writer(self, store: Store) -> None:
        """Closing the object that wrote loses nothing."""
        with closing(self.another(store)) as other:
            store.submit([a_run(7)])
            store.close()
            assert run_of(other, 7).status is Status.QUEUED
