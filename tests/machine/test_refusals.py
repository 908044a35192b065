"""What would break a replay is refused in one sentence that says what to do instead."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from perdure.core.errors import NotInWorkflow
from perdure.core.events import Complete
from tests.machine.driver import Play, step


def refused(body: Callable[[], Coroutine[Any, Any, object]]) -> str:
    """What a body is told when it does something that is refused."""
    told: list[str] = []

    async def tries() -> None:
        with pytest.raises(NotInWorkflow) as caught:
            await body()
        told.append(str(caught.value))

    play = Play(tries)
    assert play.start() == [Complete()]
    return told[0]


def loop() -> Any:
    return asyncio.get_running_loop()


async def _async(value: object) -> object:
    return value


SOCKET = socket.socket()
SOCKET.close()  # never read from: the refusal comes first


@pytest.mark.parametrize(
    ("words", "ask"),
    [
        ("to_thread", lambda: asyncio.to_thread(print, "x")),
        ("run_in_executor", lambda: loop().run_in_executor(None, print, "x")),
        ("open_connection", lambda: asyncio.open_connection("localhost", 1)),
        ("start_server", lambda: asyncio.start_server(print, "localhost", 0)),
        ("create_datagram_endpoint", lambda: loop().create_datagram_endpoint(asyncio.Protocol)),
        ("sock_recv", lambda: loop().sock_recv(SOCKET, 1)),
        ("getaddrinfo", lambda: loop().getaddrinfo("localhost", 1)),
        ("create_subprocess_exec", lambda: asyncio.create_subprocess_exec("true")),
        ("create_subprocess_shell", lambda: asyncio.create_subprocess_shell("true")),
        ("add_reader", lambda: loop().add_reader(0, print)),
        ("set_default_executor", lambda: loop().set_default_executor(None)),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_threads_sockets_and_processes_belong_in_a_step(words: str, ask: Callable[[], Any]) -> None:
    """The sentence names what was called and sends it into a function."""

    async def body() -> object:
        asked = ask()
        return await asked

    sentence = refused(body)
    assert words in sentence
    assert sentence.endswith("do it in a function (@function) and await that as a step")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: loop().add_signal_handler(signal.SIGTERM, print),
        lambda: loop().run_until_complete(_async(1)),
        lambda: loop().run_forever(),
        lambda: loop().stop(),
        lambda: loop().set_task_factory(print),
        lambda: loop().set_exception_handler(print),
    ],
)
def test_the_loop_itself_is_not_the_bodys(ask: Callable[[], Any]) -> None:
    """Signals, factories and running the loop are refused, each with its reason."""

    async def body() -> None:
        ask()

    assert len(refused(body)) > 60


def test_every_io_method_of_asyncio_is_refused_by_name() -> None:
    """No method of an event loop is left that raises a bare NotImplementedError."""
    from perdure.machine.loop import Loop

    left = [
        name
        for name in dir(asyncio.AbstractEventLoop)
        if not name.startswith("_")
        and getattr(Loop, name) is getattr(asyncio.AbstractEventLoop, name)
    ]
    assert left == []


def test_other_threads_cannot_reach_into_a_body() -> None:
    """call_soon_threadsafe from elsewhere would be an event that no journal has."""
    loops: list[asyncio.AbstractEventLoop] = []
    told: list[BaseException] = []

    async def body() -> object:
        loops.append(asyncio.get_running_loop())
        loops[0].call_soon_threadsafe(told.clear)
        return await step("one", 1)

    def reach() -> None:
        try:
            loops[0].call_soon_threadsafe(print)
        except NotInWorkflow as error:
            told.append(error)

    play = Play(body)
    play.start()
    thread = threading.Thread(target=reach)
    thread.start()
    thread.join()
    assert "from outside the body of a workflow" in str(told[0])
    assert play.answer_all().result == 1


def test_a_refused_coroutine_leaves_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    """A coroutine given to something that is refused is closed, not left to the collector."""

    async def body() -> None:
        loop().run_until_complete(_async(1))

    refused(body)
    assert [str(warning.message) for warning in recwarn] == []


def test_any_awaitable_can_be_a_task() -> None:
    """A call is a future; TaskGroup.create_task and asyncio.create_task take it all the same."""

    async def body() -> object:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(step("first", 1))  # type: ignore[arg-type]
        second = asyncio.create_task(step("second", 2))  # type: ignore[arg-type]
        return [first.result(), await second]

    play = Play(body)
    play.start()
    assert play.answer_all().result == [1, 2]
