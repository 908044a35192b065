"""A lease is believed only while it certainly holds."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable

import pytest

from perdure.core.errors import StoreUnavailable, StoreUnusable
from perdure.worker.lease import Lease

TTL = 0.3


class Book:
    """A store of one lease, in memory; what it answers can be changed while it is used."""

    def __init__(self) -> None:
        self.renewals: queue.Queue[int] = queue.Queue()
        self.answer: Callable[[], bool] = lambda: True
        self.threads: set[str] = set()
        self.open = 0
        self.times_opened = 0

    def opened(self) -> Book:
        self.open += 1
        self.times_opened += 1
        return self

    def now(self) -> int:
        return 1_000_000_000

    def renew(self, worker: int, lease_until: int) -> bool:
        assert worker == 5
        self.threads.add(threading.current_thread().name)
        answer = self.answer()
        self.renewals.put(lease_until)
        return answer

    def close(self) -> None:
        self.open -= 1

    def forget_renewals(self) -> None:
        while not self.renewals.empty():
            self.renewals.get()


@pytest.fixture
def book():
    """A lease book; nothing stays open in it."""
    book = Book()
    yield book
    assert book.open == 0


def make(book: Book, lost: Callable[[str], object] = print, **options) -> Lease:
    return Lease(worker=5, name="w", ttl=TTL, open_store=book.opened, lost=lost, **options)


def wait_until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.002)


def test_it_is_renewed_while_the_loop_turns(book) -> None:
    """Every third of its time, by a thread of its own, for the whole ttl from the store's now."""
    lease = make(book)
    lease.start()
    began = time.monotonic()
    for _ in range(6):
        assert book.renewals.get(timeout=2) == 1_000_000_000 + int(TTL * 1e6)
        lease.beat()
        assert lease.valid() and 0 < lease.remaining() <= TTL
    assert time.monotonic() - began > 1.5 * TTL
    assert book.threads == {"perdure-lease"}
    lease.stop()
    book.forget_renewals()
    wait_until(lambda: not lease.valid())
    assert book.renewals.empty(), "stopped is stopped"


def test_the_deadline_counts_from_before_the_call(book) -> None:
    """A renewal that took long leaves less than the ttl, however late its answer comes."""
    entered, leave = threading.Event(), threading.Event()

    def slowly() -> bool:
        entered.set()
        assert leave.wait(5)
        return True

    book.answer = slowly
    lease = make(book, wedge_limit=60)
    lease.start()
    assert entered.wait(5)
    late = time.monotonic() + TTL
    wait_until(lambda: time.monotonic() > late)
    book.answer = lambda: False
    leave.set()
    lease.stop()
    assert book.renewals.qsize() == 1
    assert not lease.valid(), "the answer was as old as the lease"


def test_a_buried_worker_is_told_once(book) -> None:
    """`False` ends the lease at once and for good."""
    lost: queue.Queue[str] = queue.Queue()
    book.answer = lambda: False
    lease = make(book, lost.put)
    lease.start()
    assert "took over" in lost.get(timeout=2)
    assert not lease.valid()
    lease._thread.join(2)
    assert not lease._thread.is_alive() and lost.empty() and book.renewals.qsize() == 1
    lease.stop()


def test_a_loss_that_cannot_be_told_is_a_loss_all_the_same(book, caplog) -> None:
    """An error in the callback is logged; the lease is over."""
    book.answer = lambda: False

    def broken(reason: str) -> None:
        raise LookupError("nobody listens")

    lease = make(book, broken)
    lease.start()
    lease._thread.join(2)
    assert not lease.valid()
    assert "could not be told" in caplog.text
    lease.stop()


def test_an_unavailable_store_is_tried_again(book, caplog) -> None:
    """Until the deadline the lease holds, then not; it comes back with the store."""
    trouble = threading.Event()
    trouble.set()

    def sometimes() -> bool:
        if trouble.is_set():
            raise StoreUnavailable("database is locked")
        return True

    book.answer = sometimes
    lease = make(book, wedge_limit=60)
    lease.start()
    wait_until(lambda: "trying again" in caplog.text)
    wait_until(lambda: "starts nothing" in caplog.text)
    assert not lease.valid()
    trouble.clear()
    book.renewals.get(timeout=2)
    wait_until(lease.valid)
    wait_until(lambda: "renewed again" in caplog.text)
    assert caplog.text.count("trying again") == caplog.text.count("starts nothing") == 1
    lease.stop()


def test_an_unusable_store_ends_it(book) -> None:
    """A database that is corrupt will not mend itself."""

    def never() -> bool:
        raise StoreUnusable("the database is corrupt")

    lost: queue.Queue[str] = queue.Queue()
    book.answer = never
    lease = make(book, lost.put)
    lease.start()
    assert "corrupt" in lost.get(timeout=2)
    assert not lease.valid()
    lease.stop()


def test_a_surprise_does_not_end_the_thread(book, caplog) -> None:
    """An error that nobody foresaw is logged and the renewal tried again, on a new connection."""
    answers = iter([ZeroDivisionError("?"), True, True, True, True])

    def odd() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    book.answer = odd
    lease = make(book)
    lease.start()
    book.renewals.get(timeout=2)
    assert lease.valid()
    lease.stop()
    assert "ZeroDivisionError" in caplog.text
    assert book.times_opened == 2


def test_a_store_that_cannot_be_opened_is_tried_again(book) -> None:
    """Opening is part of renewing."""
    opened = iter([False, True])

    def open_store() -> Book:
        if not next(opened):
            raise StoreUnavailable("no route to host")
        return book.opened()

    lease = Lease(worker=5, ttl=TTL, open_store=open_store, lost=print)
    lease.start()
    book.renewals.get(timeout=2)
    lease.stop()


def test_a_wedged_loop_is_not_renewed_until_it_turns(book, caplog) -> None:
    """Without beats the lease runs out, which is said by name; with one it comes back."""
    lease = make(book, wedge_limit=TTL / 2)
    lease.start()
    wait_until(lambda: not lease.valid())
    assert "worker w: its loop has not turned for" in caplog.text
    book.forget_renewals()
    assert not lease.valid() and book.renewals.empty()
    lease.beat()
    book.renewals.get(timeout=2)
    wait_until(lease.valid)
    lease.stop()


def test_who_owns_the_process_is_told_that_its_loop_hangs(book, caplog) -> None:
    """Not while the lease holds, and not after the loop turned again; an error there is logged."""
    told: queue.Queue[bool] = queue.Queue()

    def hung() -> None:
        told.put(lease.valid())
        raise LookupError("nobody listens")

    lease = make(book, wedge_limit=TTL / 2, hung=hung)
    lease.start()
    assert told.get(timeout=5) is False
    assert told.get(timeout=5) is False, "again and again"
    lease.beat()
    wait_until(lease.valid)
    lease.beat()
    lease.stop()
    assert "nobody could be told that its loop hangs" in caplog.text


def test_stopping_does_not_wait_for_the_next_renewal(book) -> None:
    """A lease of an hour ends at once; one that was never started, too."""
    lease = Lease(worker=5, ttl=3600, open_store=book.opened, lost=print)
    lease.stop()
    lease = Lease(worker=5, ttl=3600, open_store=book.opened, lost=print)
    lease.start()
    lease.stop()  # it gives up after 5 s, and leaves the thread alive
    lease.stop()
    assert not lease._thread.is_alive()


ZOMBIE = f"""
import logging, sys, time
from perdure.worker.lease import Lease
logging.basicConfig(stream=sys.stdout, format="%(message)s")

class Book:
    def now(self): return 0
    def renew(self, worker, until):
        assert sys.stdin.readline() == "renew\\n"
        return True
    def close(self): pass

lease = Lease(worker=5, ttl={TTL}, open_store=Book, lost=print, name="w", wedge_limit={TTL} * 0.8)
lease.start()
last = now = time.monotonic()
print(f"valid {{lease.valid()}}\\n", end="", flush=True)
while now - last < {TTL}:
    now, last = time.monotonic(), now
print(f"valid {{lease.valid()}}\\n", end="", flush=True)
while not lease.valid(): time.sleep(0.001)
print(f"valid {{lease.valid()}}\\n", end="", flush=True)
"""


def test_a_continued_zombie_sees_that_its_lease_is_over(start) -> None:
    """After SIGSTOP past the ttl it is not valid; the pause is not held against the loop."""
    zombie = start(ZOMBIE)
    assert zombie.stdout.readline() == "valid True\n"
    os.kill(zombie.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, zombie.pid, os.WSTOPPED | os.WNOWAIT)
    threading.Event().wait(2 * TTL)
    os.kill(zombie.pid, signal.SIGCONT)
    lines = {zombie.stdout.readline(), zombie.stdout.readline()}
    assert "valid False\n" in lines
    assert any("the whole process stood still" in line for line in lines)
    zombie.stdin.write("renew\n")
    zombie.stdin.flush()
    assert zombie.stdout.readline() in ("valid True\n", "worker w: its lease is renewed again\n")


def test_nothing_is_logged_on_the_happy_path(book, caplog) -> None:
    """A lease that is renewed is no news."""
    caplog.set_level(logging.DEBUG)
    lease = make(book)
    lease.start()
    book.renewals.get(timeout=2)
    lease.stop()
    assert caplog.text == ""
