"""Context: what a body may know about itself, and tell about its progress."""

from __future__ import annotations

import asyncio
import json
import logging
import threading

import pytest

from perdure import (
    Context,
    function,
    get_context,
    get_run,
    now,
    random,
    sleep,
    start,
    uuid4,
    workflow,
)
from perdure.core.errors import DeclarationError, NotInWorkflow
from tests.parts import wait_for


def test_a_step_is_told_who_it_is(host):
    """A parameter annotated with `Context` is injected; it is not an input."""

    @function
    async def ask(context: Context, question: str) -> list:
        return [question, context.tid, context.name, context.step, context.attempt, context.key]

    @workflow
    async def who() -> list:
        await ask("first")
        return await ask("second")

    handle = start(who, key="k")
    assert handle.result() == ["second", handle.tid, "who", 1, 1, "k"]


def test_plain_functions_too(host):
    """Wherever the parameter stands."""

    @function
    def ask(question: str, *, context: Context) -> list:
        return [question, context.tid, context.step_name]

    @workflow
    async def who() -> list:
        return await ask.step("q")

    handle = start(who)
    assert handle.result() == ["q", handle.tid, "ask"]


def test_get_context_works_anywhere_below(host):
    """In bodies, in steps, in what they call, in threads of plain functions."""

    def deep() -> str:
        return get_context().step_name

    @function
    async def one() -> str:
        return deep()

    @function
    def two() -> str:
        return deep()

    @workflow
    async def who() -> list:
        context = get_context()
        return [await one(), await two.step(), context.tid, context.step, context.step_name]

    handle = start(who)
    assert handle.result() == ["one", "two", handle.tid, None, ""]
    with pytest.raises(NotInWorkflow, match="outside a run"):
        get_context()


def test_the_token_is_the_same_for_every_attempt(host):
    """So that the outside world can tell a repetition from a new call."""
    tokens = []

    @function(retries=[0, 0])
    async def pay(context: Context) -> None:
        tokens.append(context.token)
        if context.attempt < 3:
            raise OSError("connection lost")

    @workflow
    async def pay_twice() -> None:
        await pay()
        await pay()

    start(pay_twice).result()
    assert len(tokens) == 6
    assert len(set(tokens[:3])) == 1
    assert len(set(tokens[3:])) == 1
    assert tokens[0] != tokens[3]


def test_attempts_are_counted(host):
    """From 1, per step."""
    seen = []

    @function(retries=[0])
    async def flaky(context: Context) -> None:
        seen.append((context.step, context.attempt))
        if context.attempt == 1:
            raise OSError("once")

    @workflow
    async def pay_twice() -> None:
        await flaky()
        await flaky()

    start(pay_twice).result()
    assert seen == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_log_records_carry_the_run(host, caplog):
    """The logger's records know the run and the step."""
    caplog.set_level(logging.INFO, "perdure.run")

    @function
    async def work(context: Context) -> None:
        context.logger.info("working on %s", "it")

    @workflow
    async def job() -> None:
        get_context().logger.info("begins")
        await work()
        get_context().logger.info("ends")

    handle = start(job)
    handle.result()
    records = [r for r in caplog.records if r.name == "perdure.run.job"]
    assert [r.getMessage() for r in records] == ["begins", "working on it", "ends"]
    assert [r.perdure["tid"] for r in records] == [handle.tid] * 3
    assert records[1].perdure["step_name"] == "work"
    assert "step" not in records[0].perdure


def test_progress_is_seen_from_outside(host):
    """The latest word, while the step runs."""
    may_end = threading.Event()

    @function
    def count(context: Context) -> None:
        context.progress(1, 4)
        context.progress(2, 4, "halfway")
        may_end.wait(10)

    @workflow
    async def job() -> None:
        await count.step()

    handle = start(job)
    told = wait_for(lambda: handle.record().progress)
    assert json.loads(told) == {"step": 0, "done": 2, "total": 4, "message": "halfway"}
    may_end.set()
    handle.result(10)
    assert handle.record().progress is None


def test_a_plain_call_gets_a_context_of_nothing(project):
    """Outside a run a function that wants a Context can still be called."""

    @function
    def ask(context: Context) -> str:
        context.progress(1)
        return context.tid

    assert ask() == ""


def test_a_workflow_is_not_injected(project):
    """It asks with get_context(), and is told so."""
    with pytest.raises(DeclarationError, match=r"call get_context\(\) instead"):

        @workflow
        async def wrong(context: Context) -> None: ...


def test_time_and_chance_are_the_same_in_every_replay(host):
    """`now`, `random` and `uuid4` in a body give what they gave before."""

    @function
    async def tell(text: str) -> str:
        return text

    @workflow
    async def chance() -> list:
        first = [now().isoformat(), random().random(), str(uuid4())]
        told = [await tell(text if isinstance(text, str) else repr(text)) for text in first]
        await sleep("10ms")
        again = [now().isoformat(), random().random(), str(uuid4())]
        assert again != first
        return [told, [await tell(str(one)) for one in again], [str(one) for one in again]]

    handle = start(chance)
    told, recorded, again = handle.result()
    assert recorded == again
    assert len(set(told)) == 3


def test_nothing_of_the_host_leaks_into_a_body(host):
    """Context variables of the starter are not there, live or replayed."""
    import contextvars

    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="unset")

    @workflow
    async def look() -> str:
        await asyncio.sleep(0.01)
        return mine.get()

    mine.set("leaked")
    assert get_run(start(look).tid).result(10) == "unset"
