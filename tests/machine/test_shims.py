"""asyncio's own functions: shaped in a workflow, untouched everywhere else."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from perdure.machine import shims
from tests.machine.driver import Play, step

HOUSE = Path(__file__).parents[2]


def run(code: str) -> str:
    """Run a script in a fresh process, with warnings as errors; what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        cwd=HOUSE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HOUSE / "src"), str(HOUSE)])},
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode().strip()


def test_the_wrappers_look_like_what_they_wrap() -> None:
    """Names, signatures and kinds are as before: mocks and tools rely on it."""
    assert inspect.iscoroutinefunction(asyncio.wait_for)
    assert list(inspect.signature(asyncio.wait_for).parameters) == ["fut", "timeout"]
    assert inspect.iscoroutinefunction(asyncio.Semaphore.acquire)
    assert inspect.iscoroutinefunction(asyncio.Condition.wait)
    assert inspect.iscoroutinefunction(asyncio.TaskGroup.__aexit__)
    assert asyncio.gather.__name__ == "gather"
    assert asyncio.as_completed is asyncio.tasks.as_completed
    before = asyncio.gather
    shims.install()
    assert asyncio.gather is before


def test_a_host_application_notices_nothing() -> None:
    """On any other loop the functions do what they did, with the results that they had."""

    async def value(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def host() -> list[object]:
        seen: list[object] = [await asyncio.gather(value(1), value(2))]
        seen.append(await asyncio.wait_for(value(3), timeout=10))
        seen.append(sorted([await each for each in asyncio.as_completed([value(4), value(5)])]))
        semaphore, condition = asyncio.Semaphore(1), asyncio.Condition()
        async with asyncio.TaskGroup() as group, semaphore, condition:
            group.create_task(value(6))
        try:
            await asyncio.wait_for(asyncio.Event().wait(), timeout=0.001)
        except TimeoutError:
            seen.append("timeout")
        gathering = asyncio.gather(value(7))
        seen.append(type(gathering).__module__)
        await gathering
        return seen

    assert asyncio.run(host()) == [[1, 2], 3, [4, 5], "timeout", "asyncio.tasks"]


def test_as_completed_gives_futures_to_async_for() -> None:
    """The form of 3.13 is there in workflows on every Python."""

    async def body() -> object:
        calls = [step("one", 1), step("two", 2)]
        return [calls.index(done) async for done in asyncio.as_completed(calls)]  # type: ignore[attr-defined]

    play = Play(body)
    play.start()
    play.answer(1)
    play.answer(0)
    assert play.result == [1, 0]


def test_names_imported_before_perdure_are_replaced_too() -> None:
    """Sorted imports put `from asyncio import ...` first; it means the same."""
    printed = run(
        """
        from asyncio import as_completed, gather, wait_for
        import asyncio
        import perdure.machine

        print(as_completed is asyncio.as_completed, gather is asyncio.gather,
              wait_for is asyncio.wait_for)
        """
    )
    assert printed == "True True True"


def test_an_original_under_another_name_is_refused_where_it_would_harm() -> None:
    """What cannot be replaced is recognised by its code when the body uses it."""
    printed = run(
        """
        import asyncio
        from asyncio import as_completed as ac, wait_for as wf
        import sys
        from tests.machine.driver import Play, step

        async def value():
            return await step("one")

        async def completes():
            values = [value(), value()]
            try:
                for each in ac(values):
                    await each
            except RuntimeError as error:
                return str(error)
            finally:
                for each in values:
                    each.close()

        async def waits():
            one = value()
            try:
                await wf(one, 1)
            except RuntimeError as error:
                return str(error)
            finally:
                one.close()

        async def still_fine():
            return await ac([asyncio.create_task(value())]).__next__()

        play = Play(completes)
        play.start()
        print(play.result)
        play = Play(waits)
        play.start()
        print(play.result if play.ending else "waits as it should")
        play.machine.close()
        play = Play(still_fine)
        play.start()
        print(play.answer_all().result)
        """
    )
    completes, waits, fine = printed.splitlines()
    assert "asyncio.as_completed was imported under another name" in completes
    if sys.version_info < (3, 12):
        assert "asyncio.wait_for was imported under another name" in waits
    else:
        assert waits == "waits as it should"
    assert fine == "None"
