"""What processes do when the world around them is in trouble; called in forked processes."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import threading
import time

import perdure
from perdure import function, now, sleep, start, workflow


@function
async def page(n: int) -> str:
    return f"{n:04d}" * 512


@workflow(name="trouble_book")
async def book(pages: int) -> int:
    total = 0
    for n in range(pages):
        total += len(await page(n))
    return total


class Heard(logging.Handler):
    """Waits for a word in the log."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self.word in record.getMessage():
            self.heard.set()


def write_on_a_full_disk() -> None:
    """Run out of room in the middle of a run; make room; the run completes."""
    full = Heard("cannot commit")
    logging.getLogger("perdure").addHandler(full)
    logging.basicConfig(level=logging.WARNING)
    with perdure.open() as host:
        assert start(book, 1).result(10) == 2048
        _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = max(
            os.path.getsize(f".perdure/{name}")
            for name in os.listdir(".perdure")
            if os.path.isfile(f".perdure/{name}")
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, hard))
        run = start(book, 200)
        assert full.heard.wait(20)
        assert run.status() is perdure.Status.RUNNING
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert run.result(30) == 200 * 2048
        assert host.worker.may_start()


def write_while_locked() -> None:
    """Somebody else keeps a transaction open for longer than one waits for it."""
    logging.basicConfig(level=logging.WARNING)
    locked = Heard("cannot commit")
    logging.getLogger("perdure").addHandler(locked)
    with perdure.open():
        run = start(locked_book)
        assert run.result(60) == 300 * 2048
    assert locked.heard.is_set()


@function
async def wait_for_the_lock() -> None:
    open("begun", "w").close()
    while not os.path.exists("locked"):
        await asyncio.sleep(0.005)


@workflow(name="trouble_locked_book")
async def locked_book() -> int:
    await wait_for_the_lock()
    total = 0
    for n in range(300):
        total += len(await page(n))
    return total


NAP_SECONDS = 1.5


@workflow(name="trouble_nap_and_die")
async def long_nap() -> list[float]:
    began = now().timestamp()
    await sleep(NAP_SECONDS)
    return [began, now().timestamp()]


def nap_and_die() -> None:
    """Die while a run sleeps."""
    with perdure.open():
        run = start(long_nap)
        while not run.rows():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGKILL)
