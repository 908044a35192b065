"""Runs that are started where there is no room are stored together, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from perdure.core.errors import StoreUnavailable
from perdure.core.run import Kind, NewRun
from perdure.engine import intake
from perdure.engine.committer import Committer
from perdure.engine.intake import Intake
from perdure.stores.memory import MemoryStore


class Store(MemoryStore):
    """A store that counts what it is sent, and refuses as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[list[int]] = []
        self.refusals = 0

    def submit(self, runs: Sequence[NewRun]) -> Any:
        self.sent.append([run.tid for run in runs])
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("no connection")
        return super().submit(runs)


def run(tid: int, name: str = "shop:buy") -> NewRun:
    return NewRun(tid=tid, kind=Kind.WORKFLOW, name=name, input="{}", at=1)


@pytest.fixture(params=[False, True], ids=["inline", "threaded"])
def shared(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "PAUSE_SECONDS", 0.01)


class Desk:
    """An intake with what it needs; made on a running loop."""

    def __init__(self, shared: bool) -> None:
        loop = asyncio.get_running_loop()
        self.store = Store()
        self.stored = asyncio.Event()
        self.committer = Committer(loop, shared=shared)
        tids = count(100)
        self.intake = Intake(
            self.store,
            loop,
            self.committer,
            new_tid=lambda: next(tids),
            stored=self.stored.set,
        )

    async def wait(self) -> None:
        async with asyncio.timeout(10):
            await self.stored.wait()


def test_a_burst_is_one_commit(shared: bool) -> None:
    """What is added in one iteration of the loop is sent at once."""

    async def main() -> None:
        desk = Desk(shared)
        added = [desk.intake.add(run(n)) for n in (1, 2, 3)]
        await desk.wait()
        assert desk.store.sent == [[1, 2, 3]]
        assert all(one.birth is None for one in added)
        desk.committer.close()

    asyncio.run(main())


def test_a_tid_that_is_taken_is_changed(shared: bool) -> None:
    """One newcomer has the TID of another run: it gets a new one, and all are stored."""

    async def main() -> None:
        desk = Desk(shared)
        MemoryStore.submit(desk.store, [run(2, "shop:other")])
        added = [desk.intake.add(run(n)) for n in (1, 2, 3)]
        await desk.wait()
        assert [one.tid for one in added] == [1, 100, 3]
        for one in added:
            stored = desk.store.get(one.tid)
            assert stored is not None and stored.name == "shop:buy"
        desk.committer.close()

    asyncio.run(main())


def test_a_store_that_cannot_be_reached_is_tried_again(shared: bool) -> None:
    """Newcomers wait until the store takes them, with those that come meanwhile."""

    async def main() -> None:
        desk = Desk(shared)
        desk.store.refusals = 2
        first = desk.intake.add(run(1))
        await desk.wait()
        assert len(desk.store.sent) == 3
        assert first.birth is None and desk.store.get(1) is not None
        desk.committer.close()

    asyncio.run(main())


def test_who_must_be_sure_stores_all(shared: bool) -> None:
    """`ensure_stored` returns with the run stored, and everything gathered with it."""

    async def main() -> None:
        desk = Desk(shared)
        MemoryStore.submit(desk.store, [run(2, "shop:other")])
        added = [desk.intake.add(run(n)) for n in (1, 2, 3)]
        desk.intake.ensure_stored(added[0])
        assert all(one.birth is None for one in added)
        assert [one.tid for one in added] == [1, 100, 3]
        desk.intake.ensure_stored(added[0])
        assert len(desk.store.sent) == 2, "once refused, once taken; what is stored is not sent"
        desk.committer.close()

    asyncio.run(main())


def test_who_must_be_sure_is_told_that_it_is_not(shared: bool) -> None:
    """`ensure_stored` raises when the store cannot be reached, and the run is stored later."""

    async def main() -> None:
        desk = Desk(shared)
        desk.store.refusals = 1
        newcomer = desk.intake.add(run(1))
        with pytest.raises(StoreUnavailable):
            desk.intake.ensure_stored(newcomer)
        assert newcomer.birth is not None
        await desk.wait()
        assert newcomer.birth is None
        desk.committer.close()

    asyncio.run(main())
