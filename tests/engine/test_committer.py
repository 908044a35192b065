"""Verbs run in the order of submission, on the loop or beside it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from perdure.engine.committer import Committer


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
