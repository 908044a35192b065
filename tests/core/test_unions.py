"""Unions that hold themselves: looked at once per place, however deep; read as what knows all fields."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from perdure.core.codec import JSON, Shape
from perdure.core.contract import Contract
from perdure.core.errors import ContractError, PerdureError

ENOUGH = 500_000


class TooManyError(BaseException):
    """No `except Exception` on the way takes it for a trouble of the value."""


@dataclass
class Here:
    v: int = 0
    next: Here | There | None = None


@dataclass
class There:
    v: int = 0
    next: Here | There | None = None


@dataclass
class Plus:
    next: Plus | Minus | None
    op: Literal["+"]


@dataclass
class Minus:
    next: Plus | Minus | None
    op: Literal["-"]


class Left(TypedDict):
    v: int
    next: NotRequired[Left | Right | None]


class Right(TypedDict):
    v: int
    next: NotRequired[Left | Right | None]


@dataclass
class Short:
    qty: int


@dataclass
class Long:
    qty: int
    note: str = ""


@dataclass
class ShortBox:
    item: Short


@dataclass
class LongBox:
    item: Long


def here(a: Here) -> None: ...
def left(a: Left) -> None: ...
def plus(a: Plus | Minus) -> None: ...
def either(a: Short | Long) -> None: ...
def boxed(a: ShortBox | LongBox) -> None: ...


def nested(leaf: object, depth: int, **fields: Any) -> Any:
    """Something with itself under `next`, this deep."""
    for _ in range(depth):
        leaf = {"next": leaf, **fields}
    return leaf


def calls_of(work: Callable[[], object]) -> int:
    """How many calls of Python functions something takes; it is stopped when they are enough."""
    count = 0

    def counted(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"
        if count > ENOUGH:
            raise TooManyError

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    except PerdureError:
        pass
    except TooManyError:
        pytest.fail(f"after {ENOUGH} calls it has not ended")
    finally:
        sys.setprofile(before)
    return count


GIVEN: dict[str, tuple[Callable[..., Any], Callable[[int], Any]]] = {
    "fits": (here, lambda depth: nested({"v": 1}, depth, v=1)),
    "stranger": (here, lambda depth: nested({"v": 1, "oops": 2}, depth, v=1)),
    "misfit": (here, lambda depth: nested({"v": "x"}, depth, v=1)),
    "typed dict": (left, lambda depth: nested({"v": 1}, depth, v=1)),
    "stranger in a typed dict": (left, lambda depth: nested({"v": 1, "oops": 2}, depth, v=1)),
    "misfit in a typed dict": (left, lambda depth: nested({"v": "x"}, depth, v=1)),
    "told apart late": (plus, lambda depth: nested({"next": None, "op": "-"}, depth, op="-")),
}


@pytest.mark.parametrize("case", GIVEN)
@pytest.mark.parametrize("way", ["accept", "parse", "decode"])
def test_a_union_that_holds_itself_is_looked_at_once_per_place(case: str, way: str) -> None:
    """Twice as deep is at most eight times as much work; every member at every level would double
    it with each level."""
    fn, make = GIVEN[case]
    contract = Contract.of(fn)

    def calls(depth: int) -> int:
        value = make(depth)
        text = JSON.encode({"a": value})
        ways: dict[str, Callable[[], object]] = {
            "accept": lambda: contract.accept_input(JSON, (value,), {}),
            "parse": lambda: contract.parse_input(JSON, (JSON.encode(value),), {}),
            "decode": lambda: contract.decode_input(JSON, text, strict=True),
        }
        return calls_of(ways[way])

    calls(2)  # annotations are compiled
    assert calls(40) < 8 * calls(20)
    assert calls(200) < ENOUGH  # deeper than Python's stack is: refused


def test_a_union_that_holds_itself_is_written_and_read_once_per_place() -> None:
    """As a result or an input within a body, too."""
    shape = Shape.of(Here | There | None)

    def made(depth: int) -> Here | There:
        value: Here | There = There(1)
        for level in range(depth):
            value = Here(level, value) if level % 2 else There(level, value)
        return value

    def there_and_back(depth: int) -> int:
        value = made(depth)
        return calls_of(lambda: JSON.decode(JSON.encode(value, shape), shape))

    assert JSON.decode(JSON.encode(made(30), shape), shape) == made(30)
    assert there_and_back(40) < 5 * there_and_back(20)


def test_a_stranger_deep_in_a_union_is_named_by_its_path() -> None:
    """What is remembered of one member does not change the path that another one reports."""
    for fn in (here, left):
        with pytest.raises(ContractError, match="did you mean 'next'") as caught:
            Contract.of(fn).accept_input(JSON, (nested({"v": 1, "nxt": 2}, 3, v=1),), {})
        assert caught.value.path == "a.next.next.next.nxt"
    with pytest.raises(ContractError, match="contract says int") as caught:
        Contract.of(here).accept_input(JSON, (nested({"v": "x"}, 3, v=1),), {})
    assert caught.value.path == "a.next.next.next.v"


@pytest.mark.parametrize(
    ("fn", "plain", "value"),
    [
        (either, {"qty": 1}, Short(1)),
        (either, {"qty": 1, "note": "x"}, Long(1, "x")),
        (boxed, {"item": {"qty": 1, "note": "x"}}, LongBox(Long(1, "x"))),
    ],
)
def test_plain_data_is_read_as_the_member_that_knows_all_its_fields(
    fn: Callable[..., Any], plain: Any, value: object
) -> None:
    """The first member would drop what it does not know, though another one has it."""
    contract = Contract.of(fn)
    assert contract.decode_input(JSON, JSON.encode({"a": plain}), strict=True) == ((value,), {})
    text = contract.accept_input(JSON, (plain,), {})
    assert contract.decode_input(JSON, text) == ((value,), {})
