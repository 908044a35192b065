"""Verbs run in the order of submission, on the loop or beside it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from perdure.engine import committer as module
from perdure.engine.committer import Committer


class Clock:
    """A clock that only a verb moves on."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def take(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the committer measures by."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def inline(seconds: list[float], clock: Clock) -> int:
    """How many of these verbs ran on the loop before verbs were moved off it."""

    async def main() -> int:
        committer = Committer(asyncio.get_running_loop(), shared=False)
        for number, each in enumerate(seconds):
            if not committer.is_inline:
                return number
            committer.run(1, clock.take, each)
        return len(seconds)

    return asyncio.run(main())


def test_one_very_slow_verb_is_enough(clock: Clock) -> None:
    """The loop is not blocked a second time, whether it is the first verb or a later one."""
    for before in range(6):
        assert inline([0.0001] * before + [0.5] * 9, clock) == before + 1


@pytest.mark.parametrize("place", range(4))
def test_no_regular_pattern_hides_slow_verbs(clock: Clock, place: int) -> None:
    """One fast verb in four, wherever it stands, does not make the others fast."""
    pattern = [0.01] * 4
    pattern[place] = 0.0001
    assert inline(pattern * 10, clock) < 8


def test_verbs_that_are_fast_on_average_stay_on_the_loop(clock: Clock) -> None:
    """A slow one now and then (a checkpoint) is no reason to pay for a thread: the fast ones between
    count, too."""
    assert inline(([0.012] + [0.0002] * 9) * 20, clock) == 200
    assert inline([0.0045] * 100, clock) == 100


def test_inline_is_done_at_once() -> None:
    """On a loop of its own a verb runs here and now, and what came of it is told before `submit`
    returns."""

    async def main() -> None:
        committer = Committer(asyncio.get_running_loop(), shared=False)
        told: list[Any] = []
        error = ValueError("no")

        def fail() -> None:
            raise error

        assert committer.is_inline
        committer.submit(threading.get_ident, lambda *what: told.append(what))
        committer.submit(fail, lambda *what: told.append(what))
        assert told == [(threading.get_ident(), None), (None, error)]
        assert await committer.call(lambda a, b: a + b, 1, 2) == 3
        with pytest.raises(ValueError, match="no"):
            await committer.call(fail)
        committer.close()

    asyncio.run(main())


def test_beside_a_shared_loop() -> None:
    """On somebody else's loop verbs run in a thread, in order, and are told on the loop."""

    async def main() -> None:
        committer = Committer(asyncio.get_running_loop(), shared=True)
        here = threading.get_ident()
        ran: list[tuple[int, bool]] = []
        told: list[tuple[int, bool]] = []
        for n in range(20):
            committer.submit(
                lambda n=n: ran.append((n, threading.get_ident() == here)),
                lambda _result, _error, n=n: told.append((n, threading.get_ident() == here)),
            )
        assert not told
        assert await committer.call(lambda: 7) == 7
        assert ran == [(n, False) for n in range(20)]
        assert told == [(n, True) for n in range(20)]
        with pytest.raises(ZeroDivisionError):
            await committer.call(lambda: 1 / 0)
        committer.close()

    asyncio.run(main())


def test_run_now_comes_after_what_was_submitted() -> None:
    """`run_now` blocks until the verbs before it are done, then its own."""

    async def main() -> None:
        committer = Committer(asyncio.get_running_loop(), shared=True)
        order: list[str] = []
        gate = threading.Event()

        def first() -> None:
            assert gate.wait(10)
            order.append("first")

        committer.submit(first, lambda *_: order.append("told"))
        committer.submit(lambda: order.append("second"), lambda *_: None)
        threading.Timer(0.02, gate.set).start()
        assert committer.run_now(lambda: order.append("now") or 5) == 5
        assert order == ["first", "second", "now"], "nothing is told while the loop is blocked"
        with pytest.raises(ZeroDivisionError):
            committer.run_now(lambda: 1 / 0)
        await committer.call(lambda: None)
        assert order[3:] == ["told"]
        committer.close()

    asyncio.run(main())


def test_a_caller_that_went_away_disturbs_nobody() -> None:
    """A call that is cancelled while its verb runs leaves the committer in order."""

    async def main() -> None:
        committer = Committer(asyncio.get_running_loop(), shared=True)
        gate = threading.Event()
        waiting = asyncio.ensure_future(committer.call(gate.wait, 10))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        assert await committer.call(lambda: 1) == 1
        committer.close()

    asyncio.run(main())
