"""The first signal asks, the second insists, the third kills."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from perdure.worker.signals import StopSignals

WORKER = """
import asyncio, sys
from perdure.worker.signals import StopSignals

def say(word): print(word, flush=True)

async def main():
    loop, force = asyncio.get_running_loop(), asyncio.Event()
    def forced():
        say("force")
        force.set()
    with StopSignals(loop, drain=lambda: say("drain"), force=forced):
        say("up")
        if sys.argv[1] == "block":
            while True: pass
        await force.wait()
        say("ending")
        if sys.argv[1] == "hang":
            await asyncio.sleep(60)

asyncio.run(main())
sys.exit(7)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_drain_then_force(start, number) -> None:
    """An idle loop hears each of them at once."""
    child = start(WORKER, "end")
    assert child.stdout.readline() == "up\n"
    child.send_signal(number)
    assert child.stdout.readline() == "drain\n"
    child.send_signal(number)
    assert child.stdout.readline() == "force\n"
    assert child.stdout.readline() == "ending\n"
    assert child.wait(5) == 7


def test_a_third_signal_kills(start) -> None:
    """Who hangs in its forced end is ended by the system's own means."""
    child = start(WORKER, "hang")
    for word, number in (("up", signal.SIGTERM), ("drain", signal.SIGINT), ("force", None)):
        assert child.stdout.readline() == f"{word}\n"
        if number is not None:
            child.send_signal(number)
    child.send_signal(signal.SIGTERM)
    assert child.wait(5) == -signal.SIGTERM


def test_a_blocked_loop_can_be_ended(start) -> None:
    """The loop hears nothing, and still a few signals are enough."""
    child = start(WORKER, "block")
    assert child.stdout.readline() == "up\n"
    for _ in range(500):  # signals of one number that are pending together count once
        child.send_signal(signal.SIGTERM)
        if child.poll() is not None:
            break
        threading.Event().wait(0.01)
    assert child.wait(5) == -signal.SIGTERM
    assert child.stdout.read() == ""


def test_handlers_are_put_back() -> None:
    """What the process had before is in force afterwards, also after an error."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        inside = signal.getsignal(signal.SIGTERM)
        with (
            pytest.raises(LookupError),
            StopSignals(loop, drain=lambda: None, force=lambda: None),
        ):
            assert signal.getsignal(signal.SIGTERM) != inside
            raise LookupError
        assert signal.getsignal(signal.SIGTERM) == inside

    asyncio.run(main())
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_wakes_a_loop_that_sleeps() -> None:
    """A loop with nothing to do for a minute drains at the signal, not at the end of the minute."""

    async def main() -> None:
        drained = asyncio.Event()
        with StopSignals(asyncio.get_running_loop(), drain=drained.set, force=lambda: None):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
            await asyncio.wait_for(drained.wait(), 2)

    asyncio.run(main())


def test_only_the_main_thread_can_take_signals() -> None:
    """Elsewhere it says so, and changes nothing."""
    said: list[str] = []
    before = signal.getsignal(signal.SIGTERM)

    def enter() -> None:
        loop = asyncio.new_event_loop()
        try:
            with StopSignals(loop, drain=lambda: None, force=lambda: None):
                said.append("entered")
        except RuntimeError as error:
            said.append(str(error))
        loop.close()

    thread = threading.Thread(target=enter, name="side")
    thread.start()
    thread.join()
    assert "main thread only" in said[0] and "'side'" in said[0]
    assert signal.getsignal(signal.SIGTERM) == before
