"""Errors: what a step raised arrives as what it was, with cause and traceback."""

from __future__ import annotations

import sys

import pytest

from perdure import RunCancelled, RunFailed, StepError, function, get_run, start, workflow


class CardDeclined(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def test_a_steps_exception_keeps_its_class_and_arguments(host):
    """The body catches what the function raised."""

    @function
    async def pay() -> None:
        raise CardDeclined(51)

    @workflow
    async def buy() -> int:
        try:
            await pay()
        except CardDeclined as error:
            return error.code
        return 0

    assert start(buy).result() == 51


def test_the_cause_is_kept(host):
    """`raise … from …` in a step is seen in the body and by whoever waits for the run."""

    @function
    async def pay() -> None:
        try:
            {}["account"]
        except KeyError as error:
            raise ValueError("no account") from error

    @workflow
    async def buy() -> None:
        await pay()

    with pytest.raises(RunFailed, match="ValueError: no account") as caught:
        start(buy).result()
    error = caught.value.__cause__
    assert type(error) is ValueError
    assert type(error.__cause__) is KeyError
    assert error.__cause__.args == ("account",)


def test_the_traceback_is_kept_as_text(host):
    """The journal says where it happened, in the code of the step."""

    @function
    async def pay() -> None:
        raise ValueError("no account")

    @workflow
    async def buy() -> None:
        await pay()

    handle = start(buy)
    handle.wait()
    (failed,) = [entry for entry in handle.events() if entry.kind == "step_failed"]
    assert "in pay" in failed.value["traceback"]
    assert __file__ in failed.value["traceback"]


def test_an_exception_that_cannot_be_rebuilt_is_a_step_error(host):
    """With the type's name, the message and the traceback: no name is looked up in a function."""

    class Demanding(Exception):
        pass

    @function
    async def pay() -> None:
        raise Demanding("money")

    @workflow
    async def buy() -> list:
        try:
            await pay()
        except StepError as error:
            return [error.type_name.rpartition(".")[2], error.message, "in pay" in error.traceback]
        return []

    assert start(buy).result() == ["Demanding", "money", True]


def test_the_error_of_a_run_is_read_as_often_as_one_likes(host):
    """Also by another handle; the class is the same."""

    @workflow
    async def fail() -> None:
        raise CardDeclined(7)

    handle = start(fail)
    for reader in (handle, get_run(handle.tid), handle):
        with pytest.raises(RunFailed) as caught:
            reader.result()
        assert isinstance(caught.value.__cause__, CardDeclined)
        assert caught.value.tid == int(handle.tid)


@pytest.mark.parametrize("how", ["sys.exit", "KeyboardInterrupt", "BaseException", "GeneratorExit"])
@pytest.mark.parametrize("form", ["async", "plain"])
def test_a_step_that_raises_what_nobody_catches_fails_alone(host, how, form):
    """The worker goes on, and so may the workflow."""

    def do() -> None:
        if how == "sys.exit":
            sys.exit("goodbye")
        raise {"KeyboardInterrupt": KeyboardInterrupt, "BaseException": BaseException}.get(
            how, GeneratorExit
        )("goodbye")

    @function
    async def leave() -> None:
        do()

    @function
    def leave_plain() -> None:
        do()

    @function
    async def stay() -> str:
        return "still here"

    @workflow
    async def work() -> list:
        try:
            await (leave() if form == "async" else leave_plain.step())
        except StepError as error:
            return [error.message, await stay()]
        return ["no error"]

    message, after = start(work).result(10)
    assert "raised" in message
    assert "goodbye" in message
    assert after == "still here"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_body_that_raises_what_nobody_catches_fails_alone(host, error, caplog):
    """The run fails, the worker goes on."""

    @workflow
    async def leave() -> None:
        raise error

    @workflow
    async def stay() -> str:
        return "still here"

    with pytest.raises(RunFailed, match=type(error).__name__):
        start(leave).result(10)
    assert start(stay).result(10) == "still here"
    assert "nobody looked" not in caplog.text  # it was the body itself


def test_an_unserialisable_result_fails_the_step(host):
    """The value's path and type are named; the worker goes on."""
    import threading

    @function
    async def give():
        return {"rows": [1, threading.Lock()]}

    @workflow
    async def take() -> str:
        try:
            await give()
        except TypeError as error:
            return str(error)
        return "no error"

    said = start(take).result()
    assert "lock" in said
    assert "['rows'][1]" in said.replace('"', "'")


def test_an_unserialisable_argument_is_refused_before_anything_is_stored(host):
    """At `start` by the caller's line, in a body as an exception there."""
    from perdure import list_runs
    from perdure.core.errors import EncodingError

    @workflow
    async def take(thing: object) -> None: ...

    with pytest.raises(EncodingError, match="thing"):
        start(take, open)
    assert list_runs(name="take") == []


def test_an_argument_that_does_not_fit_is_refused_before_anything_is_stored(host):
    """The contract is the signature; the error names the value and what was wanted."""
    from perdure import ContractError, list_runs

    @workflow
    async def ship(count: int, to: str = "home") -> None: ...

    with pytest.raises(ContractError, match="count"):
        start(ship, "three")
    with pytest.raises(ContractError, match="count"):
        start(ship)
    with pytest.raises(ContractError, match="two"):
        start(ship, 1, two="x")
    assert list_runs(name="ship") == []


def test_a_step_whose_result_breaks_its_contract_fails(host):
    """What was promised by the annotation is checked before it is recorded."""

    @function
    async def count() -> int:
        return "many"

    @workflow
    async def ask() -> str:
        try:
            await count()
        except ValueError as error:
            return str(error)
        return "no error"

    said = start(ask).result()
    assert "count()" in said
    assert "'many'" in said
    assert "int" in said


def test_a_function_that_returns_a_coroutine_is_told_what_it_did(host):
    """A plain def that forgot its async."""

    async def inner() -> int:
        return 1

    @function
    def forgot():
        return inner()

    @workflow
    async def ask() -> str:
        try:
            await forgot.step()
        except TypeError as error:
            return str(error)
        return "no error"

    assert "declare it async def" in start(ask).result()


def test_a_cancelled_run_raises_run_cancelled(host):
    """Not RunFailed: nobody made a mistake."""
    from perdure import sleep

    @workflow
    async def wait() -> None:
        await sleep("1h")

    handle = start(wait)
    handle.cancel()
    with pytest.raises(RunCancelled, match="was cancelled"):
        handle.result(10)
