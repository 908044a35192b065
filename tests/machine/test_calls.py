"""Calls, their ordinals, and what the body gets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from perdure.core.errors import Unreplayable
from perdure.core.events import Cancel, Child, Complete, Event, EventKind, Fail, Step, Timer
from perdure.machine import current
from tests.machine.driver import BEGAN, JSON, Play, StepBroke, child, machine_of, step


def names(commands: list[Any]) -> list[str]:
    """The commands in short, as in ``step 0 charge``."""
    return [
        " ".join(
            str(part)
            for part in (
                type(c).__name__.lower(),
                getattr(c, "ordinal", ""),
                getattr(c, "name", ""),
            )
            if part != ""
        )
        for c in commands
    ]


def test_one_event_in_the_calls_that_it_causes_out() -> None:
    """Each outcome moves the body to its next call, and its return is the last command."""

    async def body() -> object:
        receipt = await step("charge", 5)
        shipped = await child("ship", receipt + 1)
        return [receipt, shipped]

    play = Play(body)
    assert names(play.start()) == ["step 0 charge"]
    assert names(play.answer(0)) == ["child 1 ship"]
    assert play.answer(1) == [Complete(output="[5, 6]")]
    assert play.machine.pending == {}


def test_all_calls_share_one_count() -> None:
    """Steps, timers and children are numbered together, in the order in which they are made."""

    async def body() -> None:
        await asyncio.gather(step("a"), asyncio.sleep(1), child("b"), step("c"))

    play = Play(body)
    commands = play.start()
    assert names(commands) == ["step 0 a", "child 1 b", "step 2 c", "timer 3"]
    assert [type(p.command) for p in play.machine.pending.values()] == [Step, Child, Step, Timer]


def test_a_call_is_made_when_it_is_called_not_when_it_is_awaited() -> None:
    """`charge(order)` starts the step; awaiting it later gets the outcome."""

    async def body() -> object:
        early = step("early", 1)
        late = step("late", 2)
        return [await late, await early]

    play = Play(body)
    assert names(play.start()) == ["step 0 early", "step 1 late"]
    assert play.answer(0) == []
    play.answer(1)
    assert play.result == [2, 1]


def test_a_key_and_the_input_are_part_of_the_command() -> None:
    """What the engine needs to run the step is in the command, and the target stays in pending."""

    async def body() -> None:
        await step("charge", {"a": 1}, key="first")

    play = Play(body)
    (command,) = play.start()
    assert (command.name, command.key, bytes(command.input)) == ("charge", "first", b'{"a": 1}')
    pending = play.machine.pending[0]
    assert (pending.ordinal, pending.command, pending.target) == (0, command, JSON)
    assert not pending.future.done()


def test_a_failed_step_raises_in_the_body() -> None:
    """The rebuilt exception is raised where the call is awaited, and can be caught."""

    async def body() -> object:
        try:
            await step("fail", 1)
        except StepBroke as error:
            return str(error)
        return None

    play = Play(body)
    play.start()
    play.answer_all()
    assert play.result == "fail(1)"


def test_an_outcome_that_cannot_be_decoded_stops_the_machine_and_not_the_run() -> None:
    """A slip in an annotation must not end a run for good: the body never sees it."""

    async def body() -> object:
        try:
            await step("one")
        except Exception:
            return "seen"
        return None

    play = Play(body)
    play.start()
    with pytest.raises(Unreplayable, match=r"outcome of step 0 one\(\) cannot be read"):
        play.feed(EventKind.STEP_COMPLETED, 0, "no json")


def test_a_step_that_raised_stop_iteration_is_a_runtime_error() -> None:
    """No future can carry StopIteration; the body gets what a coroutine would have raised."""

    class Stops:
        def decode(self, value: str) -> object:
            return None

        def decode_error(self, value: str) -> BaseException:
            return StopIteration(value)

    async def body() -> object:
        machine = current()
        assert machine is not None
        try:
            await machine.call_step("next", "null", Stops())
        except RuntimeError as error:
            return type(error.__cause__).__name__
        return None

    play = Play(body)
    play.start()
    play.feed(EventKind.STEP_FAILED, 0, "x")
    assert play.result == "StopIteration"


def test_events_that_the_body_does_not_see_cause_nothing() -> None:
    """Attempts and retries are the engine's; they move only the clock."""

    async def body() -> object:
        await step("one")
        return current().now  # type: ignore[union-attr]

    play = Play(body)
    play.start()
    assert play.feed(EventKind.STEP_STARTED, 0) == []
    assert play.feed(EventKind.STEP_RETRYING, 0) == []
    play.answer(0)
    assert play.result == play.at


def test_a_late_outcome_is_ignored() -> None:
    """An outcome for a call that was answered, cancelled or never made causes nothing."""

    async def body() -> object:
        first = step("first", 1)
        second = step("second", 2)
        await first
        second.cancel()
        return await step("third", 3)

    play = Play(body)
    play.start()
    assert names(play.answer(0)) == ["cancel 1", "step 2 third"]
    assert play.feed(EventKind.STEP_COMPLETED, 0, "9") == []
    assert play.feed(EventKind.STEP_COMPLETED, 1, "9") == []
    assert play.feed(EventKind.STEP_COMPLETED, 77, "9") == []
    assert play.feed(EventKind.TIMER_FIRED, 2) == []
    play.answer(2)
    assert play.result == 3
    assert play.feed(EventKind.STEP_COMPLETED, 2, "9") == []


def test_cancelling_a_call_is_told_once() -> None:
    """However often the body cancels, the journal has one Cancel."""

    async def body() -> None:
        call = step("slow")
        task = asyncio.create_task(_await(call))
        await step("other")
        task.cancel()
        call.cancel()
        await asyncio.sleep(0)
        call.cancel()
        await step("after")

    play = Play(body)
    play.start()
    assert names(play.answer(1)) == ["cancel 0", "step 2 after"]


async def _await(future: asyncio.Future[Any]) -> Any:
    return await future


def test_a_call_withdrawn_in_the_same_activation_was_never_made() -> None:
    """No command tells of it; its ordinal stays used."""

    async def body() -> None:
        async with asyncio.timeout(10):
            pass
        step("never").cancel()
        child("never").cancel()
        await step("made")

    assert names(Play(body).start()) == ["step 3 made"]


def test_a_timer_is_never_early() -> None:
    """`due` is the clock plus the delay in whole µs, rounded up; floats do not lose any."""
    delays = [0.25, 1, 1.1, 0.3, 1e-6, 1.5e-6, 86_400, 2.675, 31_536_000.000_001, 1e-9]
    wanted = [250_000, 1_000_000, 1_100_000, 300_000, 1, 2, 86_400_000_000, 2_675_000]
    wanted += [31_536_000_000_001, 1]

    async def body() -> None:
        await asyncio.gather(*(asyncio.sleep(delay) for delay in delays))

    play = Play(body)
    dues = [command.due - play.at for command in play.start()]
    assert dues == wanted


@pytest.mark.parametrize("delay", [1, 0.1, 7.3, 1e6])
def test_a_timeout_is_never_early_either(delay: float) -> None:
    """`timeout` asks for a loop time, a float; its due is at most 1 µs late, after years too."""

    async def body() -> None:
        await step("wait")
        async with asyncio.timeout(delay):
            await step("forever")

    play = Play(body)
    play.start()
    for years in range(5):
        play.at = BEGAN + years * 31_536_000_000_000 + 123_457
        play.feed(EventKind.STEP_STARTED, 0)
    timer, _ = play.answer(0)
    assert 0 <= timer.due - play.at - round(delay * 1e6) <= 1


def test_no_time_passes_without_a_timer() -> None:
    """Delays of zero and less run at once, in order, without a call; infinity never comes."""
    order: list[str] = []

    async def body() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0, order.append, "zero")
        loop.call_soon(order.append, "soon")
        loop.call_at(loop.time() - 5, order.append, "past")
        loop.call_later(-1, order.append, "cancelled").cancel()
        loop.call_later(float("inf"), order.append, "never")
        await asyncio.sleep(0)
        await asyncio.sleep(-1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await step("hurried")
        with pytest.raises(ValueError, match="nan"):
            loop.call_later(float("nan"), order.append, "nan")
        await step("next")

    assert names(Play(body).start()) == ["step 1 next"]
    assert order == ["zero", "soon", "past"]


def test_the_clock_stands_still_while_the_body_runs_and_never_goes_back() -> None:
    """`now` is the time of the row, even when the store's clock jumped back."""

    async def body() -> object:
        machine, loop = current(), asyncio.get_running_loop()
        assert machine is not None
        seen = [(machine.now, loop.time())]
        for _ in range(2):
            await step("one")
            seen.append((machine.now, loop.time()))
        return seen

    machine = machine_of(body)
    machine.activate(Event(kind=EventKind.STARTED), 5_000_000)
    machine.activate(Event(kind=EventKind.STEP_COMPLETED, ordinal=0, value="1"), 4_000_000)
    machine.activate(Event(kind=EventKind.STEP_COMPLETED, ordinal=1, value="1"), 6_500_000)
    assert machine.ending == Complete(output="[[5000000, 0.0], [5000000, 0.0], [6500000, 1.5]]")


def test_random_and_uuid4_depend_on_the_run_alone() -> None:
    """The same run gets the same numbers, another run others."""

    async def body() -> object:
        machine = current()
        assert machine is not None
        return [machine.random.random(), str(machine.uuid4()), machine.random.randrange(1000)]

    results = [Play(body, tid=tid) for tid in (1, 1, 2)]
    for play in results:
        play.start()
    first, again, other = (play.result for play in results)
    assert first == again != other
    assert first == [0.13436424411240122, "1027c4d1-c386-4bc4-8d61-3e30d8f16adf", 261]


def test_a_call_from_outside_of_the_body_is_refused() -> None:
    """Only the body may call, while it runs."""

    async def body() -> None:
        await step("one")

    play = Play(body)
    play.start()
    with pytest.raises(RuntimeError, match="from outside of its body"):
        play.machine.call_step("two", "null", JSON)
    with pytest.raises(RuntimeError, match="outside of a workflow touched a future"):
        play.machine.pending[0].future.set_result(1)
    assert current() is None


def test_an_activated_run_that_is_over_says_nothing() -> None:
    """Whatever comes after the ending is accepted and ignored."""

    async def body() -> None:
        raise ValueError("no")

    play = Play(body)
    assert play.start() == [Fail(error="ValueError: no")]
    assert play.cancel() == []


def test_many_calls_withdrawn_at_once_take_linear_time() -> None:
    """A group of 20,000 that aborts in the turn in which it began leaves no command."""

    async def body() -> object:
        async def fails() -> None:
            raise StepBroke("at once")

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(20_000):
                    group.create_task(_await_step(number))
                group.create_task(fails())
        except* StepBroke:
            pass
        return "aborted"

    async def _await_step(number: int) -> None:
        await step("one", number)

    play = Play(body)
    began = time.process_time()
    assert play.start() == [Complete(output='"aborted"')]
    assert time.process_time() - began < 20, "a quadratic withdrawal takes minutes"


def test_cancel_commands_name_the_call() -> None:
    """Cancel carries the ordinal of the call that nobody waits for any more."""

    async def body() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(step("slow"), 1)
        await step("next")

    play = Play(body)
    assert names(play.start()) == ["step 0 slow", "timer 1"]
    assert play.answer(1)[0] == Cancel(0)
