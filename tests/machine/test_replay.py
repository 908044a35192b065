"""Going on from the journal: same calls, same state, or a refusal that names both sides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.core.errors import Unreplayable
from perdure.core.events import Timer
from perdure.machine import Machine, current
from tests.machine.driver import Body, Play, child, machine_of, step


async def original() -> object:
    total = await step("charge", 1)
    await asyncio.sleep(5)
    first, second = await asyncio.gather(child("pack", total), step("notify", total, key="mail"))
    return [first, second]


def recorded(body: Body = original) -> Play:
    """A journal of `body` up to its end."""
    play = Play(body)
    play.start()
    return play.answer_all()


def replayed(body: Body, play: Play, upto: int | None = None) -> Machine:
    """Another body brought to where a journal ends."""
    machine = machine_of(body)
    machine.replay(play.rows[:upto])
    return machine


@pytest.mark.parametrize("upto", range(1, 7))
def test_a_run_goes_on_from_any_row(upto: int) -> None:
    """Replayed up to a row and played on from there, the run makes the same journal."""
    whole = recorded()
    machine = replayed(original, whole, upto)
    assert machine.drift == []
    for row in whole.rows[upto:]:
        again = Play(original)
        again.machine, again.rows = machine, list(whole.rows[: row.seq])
        again.at = row.at - 7
        again.feed(row.event.kind, row.event.ordinal, row.event.value)
        assert again.rows[-1] == row
    assert machine.ending == whole.ending


def test_replaying_is_told_to_the_body() -> None:
    """`replaying` is true inside of a replay and false after it: a log can keep quiet."""
    seen: list[bool] = []

    async def body() -> None:
        for _ in range(3):
            seen.append(current().replaying)  # type: ignore[union-attr]
            await step("one")

    play = Play(body)
    play.start()
    play.answer(0)
    machine = replayed(body, play)
    assert seen == [False, False, True, True]
    assert not machine.replaying


async def _changed_name() -> object:
    total = await step("refund", 1)
    return total


async def _changed_kind() -> object:
    return await child("charge", 1)


async def _timer_instead() -> object:
    await asyncio.sleep(3)
    return None


async def _nothing_instead() -> object:
    return None


async def _raises() -> object:
    raise ValueError("new code")


async def _one_more() -> object:
    step("audit", 0)
    return await step("charge", 1)


async def _one_beside() -> object:
    charge = step("charge", 1)
    step("audit", 0)
    return await charge


async def _later_ordinal() -> object:
    async with asyncio.timeout(5):
        pass
    return await step("charge", 1)


async def _changed_key() -> object:
    total = await step("charge", 1)
    await asyncio.sleep(5)
    await asyncio.gather(child("pack", total), step("notify", total, key="sms"))
    return None


async def _only_one() -> object:
    total = await step("charge", 1)
    await asyncio.sleep(5)
    await child("pack", total)
    return None


async def _fails_at_the_end() -> object:
    await original()
    raise ValueError("new code")


@pytest.mark.parametrize(
    ("code", "seq", "message"),
    [
        (_changed_name, 0, "journal has step 0 charge(), code now calls refund()"),
        (_changed_kind, 0, "journal has step 0 charge(), code now calls charge() as child 0"),
        (_timer_instead, 0, "journal has step 0 charge(), code now waits for a time (timer 0)"),
        (_nothing_instead, 0, "journal has step 0 charge(), code now returns"),
        (_raises, 0, "journal has step 0 charge(), code now raises ValueError: new code"),
        (_one_more, 0, "journal has step 0 charge(), code now calls audit()"),
        (_one_beside, 0, "journal has nothing more at row 0, code now calls audit() as step 1"),
        (_later_ordinal, 0, "journal has step 0 charge(), code now calls charge() as step 1"),
        (
            _changed_key,
            2,
            "journal has step 3 notify() with key 'mail', code now calls notify() with key 'sms'",
        ),
        (_only_one, 2, "journal has step 3 notify() with key 'mail', code now does nothing"),
        (
            _fails_at_the_end,
            4,
            "journal has the end of the body, which returned, code now raises ValueError: new code",
        ),
    ],
)
def test_changed_code_is_refused_with_both_sides_named(code: Body, seq: int, message: str) -> None:
    """Order is identity: another kind, ordinal, name or key than recorded stops the run."""
    play = recorded()
    machine = machine_of(code)
    with pytest.raises(Unreplayable) as caught:
        machine.replay(play.rows)
    assert str(caught.value) == f"{message}; was a change deployed?"
    assert caught.value.seq == seq
    assert not machine.replaying
    machine.close()


def test_code_that_is_mended_goes_on() -> None:
    """After a refusal nothing is lost: the old code replays the same journal to its end."""
    play = recorded()
    broken = machine_of(_changed_name)
    with pytest.raises(Unreplayable):
        broken.replay(play.rows)
    broken.close()
    assert replayed(original, play).ending == play.ending


def test_an_input_that_differs_is_told_and_the_recorded_one_counts() -> None:
    """A new default must not stop production."""

    async def new_default() -> object:
        return await step("charge", 2)

    play = Play(original)
    play.start()
    machine = replayed(new_default, play)
    assert machine.drift == [
        "step 0 charge() was called with 1, the code now calls it with 2; the recorded input counts"
    ]
    assert bytes(machine.pending[0].command.input) == b"1"  # type: ignore[union-attr]


def test_the_recorded_due_counts() -> None:
    """A timer that was asked for keeps its time when the code waits longer now."""
    play = Play(_ten)
    play.start()
    machine = replayed(_twenty, play)
    command = machine.pending[0].command
    assert isinstance(command, Timer)
    assert command.due == play.at + 10_000_000
    assert machine.drift == []


async def _ten() -> None:
    await asyncio.sleep(10)


async def _twenty() -> None:
    await asyncio.sleep(20)


def test_true_non_determinism_is_named() -> None:
    """A body that asks the world directly is caught by its first different call."""
    answers: list[Any] = ["left", "right"]

    async def body() -> None:
        await step("look")
        await step(answers.pop(0))

    play = Play(body)
    play.start()
    play.answer(0)
    with pytest.raises(
        Unreplayable, match=r"journal has step 1 left\(\), code now calls right\(\)"
    ):
        replayed(body, play)


def test_a_replay_of_ten_thousand_steps_holds_on_to_little() -> None:
    """What is over is not kept: tasks and calls of a long run do not pile up."""

    async def body() -> None:
        for number in range(3000):
            await asyncio.create_task(_one(number))

    play = recorded(body)
    machine = machine_of(body)
    machine.replay(play.rows[:-1])
    assert len(machine.pending) == 1
    assert len(machine.loop.tasks) < 100


async def _one(number: int) -> None:
    await step("one", number)
