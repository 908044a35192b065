"""Steps: calls of functions, each executed once and remembered."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID

import pytest

from perdure import function, run, start, step, workflow
from perdure.core.errors import NotInWorkflow


@dataclass
class Order:
    item: str
    cents: int


@dataclass
class Receipt:
    order: Order
    paid: bool


class Colour(Enum):
    RED = "red"


def test_a_workflow_calls_functions_and_returns_a_result(host):
    """An async function that a workflow awaits is a step; the run's result is what it returns."""

    @function
    async def double(n: int) -> int:
        return 2 * n

    @workflow
    async def quadruple(n: int) -> int:
        return await double(await double(n))

    assert start(quadruple, 4).result() == 16


def test_a_plain_function_is_a_step_too(host):
    """A plain def runs in a thread beside the loop, called with `.step` in the body."""

    @function
    def where(n: int) -> str:
        return f"{n} in {threading.current_thread().name}"

    @workflow
    async def ask() -> str:
        return await where.step(7)

    answer = start(ask).result()
    assert answer.startswith("7 in perdure-function-")


def test_a_bare_call_of_a_plain_function_in_a_body_is_refused(host):
    """It would run unrecorded, so it raises a sentence that says what to write instead."""

    @function
    def charge(cents: int) -> int:
        return cents

    @workflow
    async def careless() -> str:
        try:
            charge(5)
        except RuntimeError as error:
            return str(error)
        return "it ran"

    assert start(careless).result() == (
        "charge() is a plain def and would block the workflow without being recorded; "
        "write: await charge.step(…)"
    )


def test_outside_a_workflow_a_function_is_a_plain_call(project):
    """Declaring a function changes nothing for its other callers."""

    @function
    def add(a: int, b: int) -> int:
        return a + b

    assert add(2, 3) == 5
    assert add.__name__ == "add"
    with pytest.raises(NotInWorkflow, match=r"add\.step"):
        add.step(2, 3).send(None)


def test_step_is_the_same_decorator(host):
    """`step` reads well beside a workflow; both forms work, with and without parentheses."""

    @step()
    async def shout(text: str) -> str:
        return text.upper()

    @workflow()
    async def call(text: str) -> str:
        return await shout(text)

    assert start(call, "ho").result() == "HO"


def test_a_function_can_be_run_by_itself(host):
    """A function run is durable like a workflow of one step."""

    @function
    async def greet(name: str, *, mark: str = "!") -> str:
        return f"hello {name}{mark}"

    assert start(greet, "you", mark="?").result() == "hello you?"
    assert run(greet, name="all") == "hello all!"


def test_equal_calls_are_different_steps(host):
    """The same function called three times with equal arguments runs three times."""
    calls = []

    @function
    async def poll(what: str) -> int:
        calls.append(what)
        return len(calls)

    @workflow
    async def thrice() -> list[int]:
        return [await poll("same"), await poll("same"), await poll("same")]

    assert start(thrice).result() == [1, 2, 3]
    assert calls == ["same"] * 3


def test_values_keep_their_types(host):
    """Arguments and results arrive as what their annotations say, not as JSON's types."""

    @function
    async def pay(order: Order) -> Receipt:
        assert isinstance(order, Order)
        return Receipt(order=order, paid=True)

    @workflow
    async def buy(order: Order) -> Receipt:
        receipt = await pay(order)
        assert isinstance(receipt, Receipt)
        return receipt

    handle = start(buy, Order(item="book", cents=1250))
    assert handle.result() == Receipt(order=Order(item="book", cents=1250), paid=True)
    assert handle.result() == handle.result()


@pytest.mark.parametrize(
    "value",
    [
        (1, "two", (3,)),
        {1, 2, 3},
        {1: "one", (2, 3): "more"},
        b"\x00\xff",
        Decimal("0.10"),
        datetime(2026, 3, 29, 2, 30, tzinfo=UTC),
        date(2026, 1, 31),
        timedelta(days=1, microseconds=1),
        UUID(int=5),
        Path("a/b"),
        Colour.RED,
        float("inf"),
        2**70,
        [None, True, 1.0, "ä😀"],
    ],
    ids=repr,
)
def test_values_without_annotations_keep_their_types_too(host, value):
    """What a step returns is what the body gets, live and replayed."""

    @function
    async def give():
        return value

    @workflow
    async def take():
        got = await give()
        return [type(got).__name__, got == value, got]

    name, is_equal, got = start(take).result()
    assert (name, is_equal) == (type(value).__name__, True)
    assert got == value


def test_a_step_gets_copies(host):
    """A step that changes its argument changes nothing in the body: what counts is recorded."""

    @function
    async def spoil(items: list[int]) -> int:
        items.append(99)
        return len(items)

    @workflow
    async def careful() -> list[int]:
        items = [1, 2]
        await spoil(items)
        return items

    assert start(careful).result() == [1, 2]


def test_options_vary_one_call(host):
    """`options` makes a variant for one call and leaves the function as it is."""
    attempts = []

    @function
    async def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("not yet")
        return len(attempts)

    @workflow
    async def insist() -> int:
        return await flaky.options(retries=[0, 0])()

    assert start(insist).result() == 3
    assert flaky.retry.max_attempts == 1
