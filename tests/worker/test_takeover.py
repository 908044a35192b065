"""What is said about a worker that died: an alarm only where something of it was left."""

from __future__ import annotations

import asyncio
import logging

import pytest

from perdure.store import WorkerRow
from perdure.worker.takeover import Takeover


@pytest.mark.parametrize(
    ("held", "level", "said"),
    [
        (0, logging.INFO, "worker north let its lease end"),
        (1, logging.WARNING, "worker north let its lease end; 1 run of it can go on"),
        (2, logging.WARNING, "worker north let its lease end; 2 runs of it can go on"),
    ],
)
def test_a_death_is_an_alarm_only_if_runs_are_left(
    held: int, level: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One that held nothing has harmed nobody."""

    async def bury(worker: int, proven: bool) -> int:
        return held

    # Another host's: nothing proves its death, and without patience its ended lease is believed.
    gone = WorkerRow(
        id=7,
        name="north",
        host="elsewhere",
        boot_id="",
        pid_namespace="",
        pid=1,
        started=1,
        lease_until=10,
        registered_at=0,
    )

    async def look_twice() -> None:
        takeover = Takeover(bury, patience=0)
        try:
            assert [await takeover.look([gone], 1, 20) for _ in range(2)] == [0, 1]
        finally:
            takeover.close()

    with caplog.at_level(logging.INFO, logger="perdure.worker"):
        asyncio.run(look_twice())
    assert [(one.levelno, one.getMessage()) for one in caplog.records] == [(level, said)]
