"""Errors written down, and raised again as what they were."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pickle
import subprocess
import sys
import types
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.codec import JSON
from perdure.core.decide import CANCELLED_BEFORE_IT_BEGAN
from perdure.core.errors import (
    ContractError,
    DecodingError,
    KeyConflict,
    RetryAfter,
    RunCancelled,
    StepError,
    StepTimeout,
    TidTaken,
)
from tests.core.shop import Color, Order


class Declined(Exception):
    """An error whose constructor takes other arguments than it hands on."""

    def __init__(self, code: int, *, card: str) -> None:
        super().__init__(f"card {card} was declined with {code}")
        self.code = code
        self.card = card


class Silent(Exception):
    """An error that hands nothing on."""

    def __init__(self, order: Order) -> None:
        self.order = order

    def __str__(self) -> str:
        return f"order {self.order.id}"


@dataclasses.dataclass(frozen=True)
class Precise(Exception):
    """An error that is a frozen dataclass."""

    color: Color
    limits: tuple[int, ...]


class Slotted(Exception):
    """An error with slots."""

    __slots__ = ("where",)

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


class NoFile(FileNotFoundError):
    """An OSError of one's own."""


class Nasty(Exception):
    """An error that fights back."""

    def __str__(self) -> str:
        raise RuntimeError("no message for you")

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __reduce__(self) -> Any:
        raise RuntimeError("no")

    def __getattribute__(self, name: str) -> Any:
        if name in ("args", "retry_after"):
            raise RuntimeError("no")
        return super().__getattribute__(name)


class Holder(Exception):
    """An error that holds what cannot be written down."""

    def __init__(self, reply: object) -> None:
        super().__init__("bad reply", reply)
        self.reply = reply
        self.status = 503


def back(error: BaseException) -> Any:
    """The error, written down and read back."""
    text = JSON.encode_error(error)
    json.loads(text)
    return JSON.decode_error(text)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        ValueError(),
        ValueError("a", 1, (2, Color.RED), {"x": {3}}),
        KeyError("x"),
        KeyError(("a", 1)),
        OSError(2, "No such file", "/tmp/x"),
        OSError("plain"),
        NoFile(2, "No such file", "a", None, "b"),
        ConnectionResetError(104, "reset"),
        TimeoutError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        StopIteration(5),
        SyntaxError("bad", ("f.py", 1, 2, "x = ", 1, 3)),
        ImportError("no", name="a.b", path="/x"),
        ModuleNotFoundError("No module named 'x'", name="x"),
        NameError("no", name="n"),
        ZeroDivisionError("division by zero"),
        json.JSONDecodeError("Expecting value", "{", 1),
        subprocess.CalledProcessError(3, ["ls", "x"], b"out", b"err"),
        TimeoutError("late"),
        Declined(5, card="42"),
        Silent(Order(1, 2.0)),
        Precise(Color.RED, (1, 2)),
        Slotted("here"),
        RetryAfter("later", retry_after="5s"),
        ContractError("no", path="order.id"),
        KeyConflict("no", tid=5),
        TidTaken(5),
        StepError("m", type_name="a:B"),
        StepTimeout("too long", type_name="x"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_comes_back_as_its_own_class(error: BaseException) -> None:
    """Class, arguments, message and attributes are kept."""
    again = back(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
    for name in ("errno", "strerror", "filename", "filename2", "name", "path", "value", "where"):
        assert getattr(again, name, None) == getattr(error, name, None)
    assert JSON.decode(JSON.encode({"e": [error]})) is not None


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError("stop")],
    ids=lambda e: type(e).__name__,
)
def test_what_is_no_failure_does_not_end_the_reader(error: BaseException) -> None:
    """SystemExit and its like come back as a StepError that names them."""
    again = back(error)
    assert type(again) is StepError
    assert again.type_name.endswith(type(error).__qualname__)
    assert str(again) == str(error)


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The error with a traceback."""
    try:
        if cause is None:
            raise error
        raise error from cause
    except BaseException as caught:
        return caught


def test_traceback_cause_and_notes_are_kept() -> None:
    """The recorded traceback, the chain of causes and the notes come back."""
    error = raised(ValueError("outer"), raised(KeyError("inner")))
    error.add_note("while testing")
    again = back(error)
    assert "in raised" in again.perdure_traceback
    assert again.perdure_traceback.endswith("ValueError: outer")
    assert again.__notes__ == ["while testing"]
    assert isinstance(again.__cause__, KeyError)
    assert again.__cause__.args == ("inner",)
    assert "KeyError" in again.__cause__.perdure_traceback


def test_context_is_kept_unless_it_is_suppressed() -> None:
    """An error raised while another was handled keeps that one, unless `from None` says not to."""

    def fail(quiet: bool) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            if quiet:
                raise ValueError("second") from None
            raise ValueError("second")

    for quiet in (False, True):
        with pytest.raises(ValueError) as caught:
            fail(quiet)
        again = back(caught.value)
        assert again.__suppress_context__ is quiet
        assert (again.__context__ is None) is quiet


def test_an_error_raised_again_keeps_where_it_came_from() -> None:
    """The traceback of a step's error still stands in the error of the run."""
    first = back(raised(ValueError("deep")))
    second = back(raised(first))
    assert "raised again" in second.perdure_traceback
    assert second.perdure_traceback.count("ValueError: deep") == 2


def test_traceback_is_bounded() -> None:
    """A deep recursion does not fill the journal."""

    def dive(n: int) -> None:
        if n == 0:
            raise ValueError("x" * 20_000)
        dive(n - 1)

    with pytest.raises(ValueError) as caught:
        dive(300)
    assert len(back(caught.value).perdure_traceback) <= 8192


def test_loops_and_endless_chains_are_cut() -> None:
    """A chain of causes that bites its tail is written once around."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert str(back(one).__cause__) == "two"
    error: BaseException = ValueError("0")
    for n in range(500):
        error = raised(ValueError(str(n)), error)
    assert str(back(error).__cause__.__cause__) == "497"


def test_groups_keep_their_members() -> None:
    """An exception group comes back with its members, each as its own class."""
    group = ExceptionGroup("two", [Declined(1, card="x"), ExceptionGroup("in", [KeyError("k")])])
    again = back(group)
    assert type(again) is ExceptionGroup
    assert again.message == "two"
    assert again.exceptions[0].card == "x"
    assert again.exceptions[1].exceptions[0].args == ("k",)
    with pytest.raises(ExceptionGroup):
        raise again
    mixed = back(BaseExceptionGroup("m", [KeyboardInterrupt(), ValueError("v")]))
    assert isinstance(mixed, StepError | BaseExceptionGroup)


def test_what_cannot_be_written_is_left_out() -> None:
    """An error that holds a socket or a lock comes back without it, and with the rest."""
    again = back(Holder(object()))
    assert type(again) is Holder
    assert again.status == 503
    assert not hasattr(again, "reply")


def test_a_stranger_becomes_a_step_error() -> None:
    """An error whose class is not loaded is told by a StepError, and nothing is imported."""
    module = types.ModuleType("elsewhere")
    exec("class Far(Exception): pass", module.__dict__)
    module.Far.__module__ = "elsewhere"  # type: ignore[attr-defined]
    sys.modules["elsewhere"] = module
    try:
        text = JSON.encode_error(raised(module.Far("far away", 1)))
        assert type(JSON.decode_error(text)).__name__ == "Far"
    finally:
        del sys.modules["elsewhere"]
    again = JSON.decode_error(text)
    assert isinstance(again, StepError)
    assert again.type_name == "elsewhere:Far"
    assert again.message == "('far away', 1)"
    assert "in raised" in again.traceback
    assert "elsewhere" not in sys.modules
    twice = back(again)
    assert (twice.type_name, twice.message) == (again.type_name, again.message)


def test_local_and_foreign_errors_do_not_break() -> None:
    """Classes that cannot be found or made again become a StepError."""

    class Local(Exception):
        pass

    assert back(Local("x")).type_name.endswith("Local")
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(int).validate_python("x")
    again = back(caught.value)
    assert isinstance(again, StepError)
    assert "valid integer" in again.message


def test_nothing_that_an_error_does_raises() -> None:
    """Whatever an exception does in its methods, it is written down."""
    again = back(raised(Nasty()))
    assert isinstance(again, StepError)
    assert "cannot be shown" in again.message
    assert "Nasty" in again.type_name
    assert str(back(ValueError("\ud800"))) == "\\ud800"


def test_type_and_message_are_enough() -> None:
    """The shortest form is read: by decide.py, and by other programs."""
    again = JSON.decode_error(CANCELLED_BEFORE_IT_BEGAN)
    assert isinstance(again, RunCancelled)
    assert again.tid == 0
    assert str(again) == "cancelled while nothing of it ran"
    assert JSON.decode_error('{"type":"builtins:KeyError","message":"x"}').args == ("x",)
    assert isinstance(JSON.decode_error('{"type":"os:system","message":"ls"}'), StepError)
    assert isinstance(
        JSON.decode_error('{"type":"tests.core.shop:Order","message":"ls"}'), StepError
    )


@pytest.mark.parametrize("text", ["", "5", "{}", '{"message":"x"}', "[]"])
def test_damaged_errors_are_named(text: str) -> None:
    """Text that does not tell of an error is a DecodingError."""
    with pytest.raises(DecodingError):
        JSON.decode_error(text)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["builtins:OSError", "builtins:UnicodeDecodeError", "a:b", ""])},
        optional={
            key: st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers())
            for key in ("message", "args", "state", "notes", "cause", "context", "exceptions")
        },
    )
)
def test_any_fields_make_an_exception(fields: dict[str, Any]) -> None:
    """Fields of the wrong kinds never lead to anything but an exception to raise."""
    assert isinstance(JSON.decode_error(json.dumps(fields)), BaseException)


def test_copying_would_not_have_done() -> None:
    """The reason why errors are not rebuilt by their constructors, as pickle does it."""
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(Declined(5, card="42")))
