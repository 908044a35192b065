"""One holder at most, for as long as it lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

from perdure.worker.leader import VARIABLE, LeaderLock

HOLD = """
import sys
from pathlib import Path
from perdure.worker.leader import LeaderLock
lock = LeaderLock(Path(sys.argv[1]))
print(lock.try_acquire(worker=123), flush=True)
"""
HOLD_ON = HOLD + "sys.stdin.read()\n"


def test_one_holds_and_the_other_does_not(tmp_path) -> None:
    """The second is refused until the first lets go, also within one process."""
    first, second = LeaderLock(tmp_path / "lock"), LeaderLock(tmp_path / "lock")
    assert first.try_acquire()
    assert first.try_acquire(), "who holds it, has it"
    assert not second.try_acquire()
    first.release()
    first.release()
    assert second.try_acquire()
    second.release()


def test_the_holder_can_be_asked_without_taking_the_lock(tmp_path) -> None:
    """`holder` tells what the holder wrote; None while nobody holds, also if the file is there."""
    lock, asking = LeaderLock(tmp_path / "a" / "lock"), LeaderLock(tmp_path / "a" / "lock")
    assert asking.holder() is None
    assert lock.try_acquire(worker=7_123_456_789_012_345_678)
    about = asking.holder()
    assert about is not None
    assert about["pid"] == os.getpid()
    assert about["worker"] == "7123456789012345678", "a TID is a string in JSON"
    assert not asking.is_held_here and lock.is_held_here
    lock.release()
    assert asking.holder() is None
    assert lock.try_acquire(), "asking left no lock behind"
    lock.release()


def test_a_killed_holder_frees_the_lock(tmp_path, start) -> None:
    """The kernel lets go for a process that died by kill -9, whatever its file still says."""
    child = start(HOLD_ON, tmp_path / "lock")
    assert child.stdout.readline() == "True\n"
    lock = LeaderLock(tmp_path / "lock")
    assert not lock.try_acquire()
    child.kill()
    child.wait()
    assert json.loads((tmp_path / "lock").read_text())["pid"] == child.pid
    assert lock.holder() is None
    assert lock.try_acquire()
    lock.release()


def test_children_do_not_inherit_the_lock(tmp_path, start) -> None:
    """A forked and a spawned child that outlive the holder do not keep its lock."""
    code = HOLD + (
        "import os, subprocess\n"
        "up, down = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(down, b'!')\n"
        "    os.read(0, 1); os._exit(0)\n"
        "os.read(up, 1)\n"
        "subprocess.Popen(['cat'], close_fds=False)\n"
        "print('children', flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    child = start(code, tmp_path / "lock")
    assert child.stdout.readline() == "True\n"
    assert child.stdout.readline() == "children\n"
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    lock = LeaderLock(tmp_path / "lock")
    assert lock.try_acquire(), "two children live, but the holder is dead"
    lock.release()


def test_a_probe_does_not_turn_away_who_acquires(tmp_path) -> None:
    """While others ask all the time who holds it, a free lock can still be taken."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            LeaderLock(tmp_path / "lock").holder()

    lock = LeaderLock(tmp_path / "lock")
    lock.try_acquire()
    lock.release()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(200):
            assert lock.try_acquire()
            lock.release()
    finally:
        stop.set()
        asking.join()


def test_a_deleted_file_is_noticed(tmp_path) -> None:
    """Whose file was deleted holds nothing that others can see; the next one makes a new file."""
    first, second = LeaderLock(tmp_path / "lock"), LeaderLock(tmp_path / "lock")
    assert first.try_acquire()
    (tmp_path / "lock").unlink()
    assert not first.is_held_here
    assert second.holder() is None
    assert second.try_acquire() and second.is_held_here
    first.release()
    second.release()


def test_a_file_deleted_while_it_is_being_locked_is_not_taken(tmp_path, monkeypatch) -> None:
    """Between opening and locking another file may take its place: that one is locked."""
    opened: list[int] = []
    lock, real = LeaderLock(tmp_path / "lock"), LeaderLock._open

    def open_and_lose(self: LeaderLock) -> int:
        opened.append(real(self))
        if len(opened) < 3:
            self.path.unlink()
        return opened[-1]

    monkeypatch.setattr(LeaderLock, "_open", open_and_lose)
    assert lock.try_acquire() and lock.is_held_here and len(opened) == 3
    monkeypatch.undo()
    assert LeaderLock(tmp_path / "lock").holder() is not None
    lock.release()


def test_a_half_written_file_names_nobody(tmp_path) -> None:
    """The lock decides, not the text."""
    lock = LeaderLock(tmp_path / "lock")
    assert lock.try_acquire()
    for text in ('{"pid": 12', "[]", "", "\x00\xff"):
        (tmp_path / "lock").write_text(text)
        assert LeaderLock(tmp_path / "lock").holder() == {}
        assert not LeaderLock(tmp_path / "lock").try_acquire()
    lock.release()


def test_the_lock_is_handed_over_to_a_child(tmp_path, start) -> None:
    """From the hand-over on the child is the holder; the lock is not free for a moment."""
    lock = LeaderLock(tmp_path / "lock")
    assert lock.take()
    code = HOLD_ON.replace("import sys\n", "import sys, os\nsys.stdin.readline()\n", 1)
    code = code.replace("print(", f"print(os.environ.get({VARIABLE!r}), lock.fd, ")
    code = code.replace("sys.stdin.read()", "print(os.get_inheritable(lock.fd), flush=True)\n")
    code += "sys.stdin.read()"
    os.environ[VARIABLE] = str(lock.fd)
    try:
        child = start(code, tmp_path / "lock", pass_fds=(lock.fd,))
        number = lock.fd
        assert not LeaderLock(tmp_path / "lock").take(), "an open file that is not ours to adopt"
    finally:
        del os.environ[VARIABLE]
    lock.hand_over(child.pid)
    other = LeaderLock(tmp_path / "lock")
    assert not lock.is_held_here and not other.try_acquire()
    assert (other.holder() or {})["pid"] == child.pid
    child.stdin.write("go\n")
    child.stdin.flush()
    assert child.stdout.readline() == f"{number} -1 True\n"
    assert (other.holder() or {})["worker"] == "123"
    assert not other.try_acquire()
    assert child.stdout.readline() == "False\n", "its own children do not get it"
    child.kill()
    child.wait()
    assert other.try_acquire()
    other.release()


def test_a_wrong_descriptor_is_not_adopted(tmp_path) -> None:
    """What the environment claims is checked: the descriptor must carry this very lock."""
    with (tmp_path / "other").open("w") as file:
        for claim in (str(file.fileno()), "987654", "-1", "x", ""):
            code = f"import os; os.environ[{VARIABLE!r}] = {claim!r}\n{HOLD}"
            done = subprocess.run(
                [sys.executable, "-c", code, tmp_path / "lock"],
                pass_fds=(file.fileno(),),
                capture_output=True,
                text=True,
                check=True,
            )
            assert done.stdout == "True\n"
