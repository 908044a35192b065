"""What a store will not take stops one run, not those that share its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import function, start, workflow
from perdure.core.decide import Turn
from perdure.core.errors import StoreError
from perdure.core.run import NewRun
from perdure.stores.memory import MemoryStore


@function
async def plus_one(n: int) -> int:
    return n + 1


@workflow
async def accepted(n: int) -> int:
    return await plus_one(n)


@workflow
async def refused(n: int) -> int:
    return await plus_one(n)


@pytest.mark.parametrize("can_be_parked", [True, False])
def test_one_that_cannot_be_written_does_not_stop_the_others(
    project: Path, monkeypatch: pytest.MonkeyPatch, can_be_parked: bool
) -> None:
    """Of three runs in one commit the middle one cannot be recorded; both others complete."""
    bad: set[int] = set()
    sizes: list[int] = []
    original = MemoryStore.turn

    def turn(self: Any, turns: Sequence[Turn], births: Sequence[NewRun], now: int) -> Any:
        bad.update(birth.tid for birth in births if birth.name == refused.name)
        for one in turns:
            if one.tid in bad and not (can_be_parked and one.then is not None):
                sizes.append(len(turns))
                raise StoreError(f"run {one.tid} cannot be written")
        return original(self, turns, births, now)

    monkeypatch.setattr(MemoryStore, "turn", turn)

    async def main() -> None:
        async with perdure.open(store="memory:"):
            first, _middle, last = start(accepted, 1), start(refused, 2), start(accepted, 3)
            async with asyncio.timeout(10):
                assert [await first, await last] == [2, 4]
                assert await start(accepted, 5) == 6

    asyncio.run(main())
    assert sizes[0] == 3, "they shared a commit"
