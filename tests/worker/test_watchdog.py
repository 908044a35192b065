"""Who blocks the loop is named."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from perdure.worker.pulse import Pulse
from perdure.worker.watchdog import Watchdog

PERIOD = 0.1


def wait_for_text(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait without beating until this was logged; this function is what blocks the loop."""
    deadline = time.monotonic() + 3
    while text not in caplog.text:
        assert time.monotonic() < deadline, f"{text!r} was never logged"
        threading.Event().wait(0.002)


@pytest.fixture
def watch():
    """Start a watchdog over this thread; it is stopped at the end."""
    dogs: list[Watchdog] = []

    def watch(current: Callable[[], str]) -> Pulse:
        pulse = Pulse()
        dog = Watchdog(pulse=pulse, current=current, block_warning=PERIOD)
        dogs.append(dog)
        dog.start()
        return pulse

    yield watch
    for dog in dogs:
        dog.stop()
        dog.stop()


def test_a_blocked_loop_is_reported_once_and_when_it_ends(watch, caplog) -> None:
    """By the name of what runs, with the stack, and afterwards with the time it took."""
    began = time.monotonic()  # before the first beat
    pulse = watch(lambda: "step charge() of run 17")
    wait_for_text(caplog, "the loop is blocked for over 0.1 s by step charge() of run 17")
    assert time.monotonic() - began >= PERIOD, "not before; that it comes at all, in 3 s, was seen"
    assert "in wait_for_text" in caplog.text, "the stack shows where"
    assert "plain `def` function" in caplog.text, "and what to do"
    threading.Event().wait(3 * PERIOD)
    assert len(caplog.records) == 1, "once for each blockage"
    pulse.beat()
    wait_for_text(caplog, "step charge() of run 17 blocked it for 0.")
    assert len(caplog.records) == 2 or "blocked for over" in caplog.records[2].message


def test_the_next_blockage_is_reported_again(watch, caplog) -> None:
    """A second one by another step has its own two lines."""
    names = ["step one()"]
    pulse = watch(lambda: names[0])
    wait_for_text(caplog, "by step one()")
    pulse.beat()
    wait_for_text(caplog, "step one() blocked it")
    names[0] = "step two()"
    wait_for_text(caplog, "by step two()")
    pulse.beat()
    wait_for_text(caplog, "step two() blocked it")


def test_a_loop_that_turns_is_never_reported(watch, caplog) -> None:
    """Beats that come often enough are silence."""
    pulse = watch(lambda: "nothing")
    for _ in range(20):
        threading.Event().wait(PERIOD / 5)
        pulse.beat()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("current", "name"),
    [(lambda: "", "something that is not a step"), (lambda: 1 / 0, "ZeroDivisionError")],
)
def test_a_blockage_without_a_name_is_reported_too(watch, caplog, current, name) -> None:
    """Neither nothing nor an error in the naming hides it."""
    watch(current)
    wait_for_text(caplog, name)


def test_a_loop_whose_thread_is_gone_is_reported(caplog) -> None:
    """There is no stack to show, and no error either."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    pulse = Pulse()
    ghost = -1 if thread.ident is None else -thread.ident
    dog = Watchdog(pulse=pulse, current=lambda: "x", block_warning=PERIOD, thread=ghost)
    dog.start()
    wait_for_text(caplog, "its thread is gone")
    dog.stop()


def test_c_code_that_keeps_the_interpreter_is_named(watch, caplog) -> None:
    """The watchdog could not look while it ran; afterwards it says who ran and for how long."""
    pulse = watch(lambda: "step crunch() of run 17")
    ctypes.PyDLL(None).usleep(int(5 * PERIOD * 1_000_000))  # PyDLL does not let others run
    wait_for_text(caplog, "the whole process stood still for 0.5 s")
    assert "step crunch() of run 17" in caplog.text
    wait_for_text(caplog, "the loop is blocked for over 0.1 s by step crunch()")
    assert caplog.text.count("stood still") == 1, "a loop still silent is reported as any other"
    pulse.beat()


STOPPED = f"""
import logging, sys, time
from perdure.worker.pulse import Pulse
from perdure.worker.watchdog import Watchdog
logging.basicConfig(stream=sys.stdout, format="%(message)s")
pulse = Pulse()
dog = Watchdog(pulse=pulse, current=lambda: "step idle()", block_warning={PERIOD * 2})
dog.start()
print("up", flush=True)
for line in sys.stdin:
    # A loop that sleeps between two beats, as the worker's does.
    while time.sleep(0.05) is None:
        pulse.beat()
"""


@pytest.mark.parametrize("periods", [1, 1.5, 2.2, 5])
def test_a_stopped_process_is_not_taken_for_a_blocked_loop(start, periods) -> None:
    """After SIGSTOP and SIGCONT nobody is blamed: neither after a long stop, nor after one that is
    just over when the dog looks."""
    child = start(STOPPED)
    child.stdout.readline()
    child.stdin.write("go\n")
    child.stdin.flush()
    for _ in range(4):
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        threading.Event().wait(PERIOD * 2 * periods)
        os.kill(child.pid, signal.SIGCONT)
        os.waitid(os.P_PID, child.pid, os.WCONTINUED | os.WNOWAIT)
        threading.Event().wait(PERIOD * 4)  # as long as a wrong report would take
    child.send_signal(signal.SIGTERM)
    said = child.communicate()[0]
    assert "blocked" not in said


def test_the_time_of_a_stop_is_not_counted_as_blocked(start) -> None:
    """A body that blocks, and is stopped meanwhile, blocked as long as it ran."""
    child = start(STOPPED.replace("time.sleep(0.05)", "time.sleep(1)"))
    child.stdout.readline()
    child.stdin.write("go\n")
    child.stdin.flush()
    assert "the loop is blocked for over 0.2 s by step idle()" in child.stdout.readline()
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    threading.Event().wait(2)
    os.kill(child.pid, signal.SIGCONT)
    ended = next(line for line in child.stdout if "blocked it for" in line)
    seconds = float(ended.rpartition("for ")[2].partition(" s")[0])
    assert seconds < 1.5
