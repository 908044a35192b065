"""One scenario of DBOS Transact in a fresh process of its own environment; prints one JSON line.

`python dbos_scenario.py steps|asteps --db URL --n N`: one workflow of N steps, each of which returns
a small int; plain functions (`steps`) or async ones (`asteps`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time

from dbos import DBOS  # type: ignore[import-not-found]


@DBOS.step()
def tick(number: int) -> int:
    return number + 1


@DBOS.workflow()
def count(steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = tick(number)
    return number


@DBOS.step()
async def atick(number: int) -> int:
    return number + 1


@DBOS.workflow()
async def acount(steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = await atick(number)
    return number


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=["steps", "asteps"])
    parser.add_argument("--db", required=True)
    parser.add_argument("--n", type=int, default=1000)
    options = parser.parse_args()
    DBOS(
        config={
            "name": "bench",
            "system_database_url": options.db,
            "log_level": "ERROR",
            "application_version": "v1",
            "executor_id": "local",
        }
    )
    DBOS.launch()
    if options.scenario == "steps":
        count(1)
        began = time.perf_counter()
        result = count(options.n)
        wall = time.perf_counter() - began
    else:
        result, wall = asyncio.run(_acount(options.n))
    assert result == options.n
    print(
        json.dumps(
            {
                "platform": "dbos",
                "scenario": options.scenario,
                "db": options.db.split(":")[0],
                "n": options.n,
                "wall_s": wall,
                "ops_per_s": options.n / wall,
            }
        ),
        flush=True,
    )
    os._exit(0)  # its threads would keep the process for a while


async def _acount(steps: int) -> tuple[int, float]:
    await acount(1)
    began = time.perf_counter()
    result = await acount(steps)
    return result, time.perf_counter() - began


if __name__ == "__main__":
    main()
