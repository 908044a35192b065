"""A death counts as proven only when it is certain."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from perdure.worker import identity
from perdure.worker.identity import Identity, is_near, is_proven_dead

linux = pytest.mark.skipif(sys.platform != "linux", reason="proofs need /proc")
HERE = Identity.of_this_process()
WAIT = "import sys; print('up', flush=True); sys.stdin.read()"


@linux
def test_this_process_knows_itself(row_of) -> None:
    """Every field is there, and the start time is the one that `/proc` shows to others."""
    assert HERE.pid == os.getpid()
    assert HERE.host and HERE.boot_id and HERE.pid_namespace.startswith("pid:[")
    assert HERE.started == row_of(os.getpid()).started > 0


@linux
def test_a_living_worker_is_not_dead(start, row_of) -> None:
    """Another process, and the asking process itself, live."""
    child = start(WAIT)
    child.stdout.readline()
    assert not is_proven_dead(row_of(child.pid), HERE)
    assert not is_proven_dead(row_of(os.getpid()), HERE)


@linux
def test_a_zombie_and_a_vanished_process_are_dead(start, row_of) -> None:
    """A killed child is dead while nobody has waited for it, and afterwards."""
    child = start(WAIT)
    child.stdout.readline()
    row = row_of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_proven_dead(row, HERE), "a zombie"
    child.wait()
    assert is_proven_dead(row, HERE), "gone"


@linux
def test_a_stopped_process_lives(start, row_of) -> None:
    """SIGSTOP is no death: the process may go on and write."""
    child = start(WAIT)
    child.stdout.readline()
    os.kill(child.pid, 19)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert not is_proven_dead(row_of(child.pid), HERE)


@linux
def test_a_reused_pid_is_another_process(row_of) -> None:
    """The pid of a living process with another start time belonged to a dead one before."""
    row = row_of(os.getpid())
    assert is_proven_dead(replace(row, started=row.started - 1), HERE)


@linux
@pytest.mark.parametrize(
    ("difference", "proven"),
    [
        ({"boot_id": "another"}, True),
        ({"boot_id": "another", "host": "elsewhere"}, False),
        ({"host": "elsewhere"}, False),
        ({"pid_namespace": "pid:[1]"}, False),
        ({"boot_id": ""}, False),
        ({"host": ""}, False),
        ({"pid_namespace": ""}, False),
        ({"started": 0}, False),
        ({"pid": 0}, False),
        ({"pid": -1}, False),
    ],
)
def test_what_can_be_proven_of_a_dead_worker(start, row_of, difference, proven) -> None:
    """A dead worker of this host and boot is proven dead; of elsewhere or of no address it is not.

    An earlier boot of this host is over.
    """
    child = start("")
    child.wait()
    row = row_of(child.pid)
    assert is_proven_dead(row, HERE)
    changed = replace(row, **difference)
    assert is_proven_dead(changed, HERE) is proven
    assert is_near(changed, HERE) is proven


def test_a_process_without_proc_proves_nothing(row_of) -> None:
    """Where this process does not know its own boot, even a dead pid stays unproven."""
    nowhere = Identity(host=HERE.host, boot_id="", pid_namespace="", pid=os.getpid(), started=0)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not is_proven_dead(row_of(child.pid), nowhere)
    assert not is_proven_dead(row_of(child.pid, boot_id="", pid_namespace=""), nowhere)


@linux
def test_a_proc_of_another_namespace_is_not_believed(monkeypatch) -> None:
    """If `/proc` shows this process under another pid, its pids are not ours."""
    monkeypatch.setattr(os, "getpid", lambda: 4_000_000)
    stranger = Identity.of_this_process()
    assert (stranger.boot_id, stranger.pid_namespace, stranger.started) == ("", "", 0)


@linux
def test_a_pid_that_is_only_hidden_lives(monkeypatch, row_of) -> None:
    """With `hidepid`, `/proc` shows nothing of a process that the kernel knows very well."""
    row = row_of(os.getpid())
    monkeypatch.setattr(identity, "_stat", lambda pid: None)
    assert not is_proven_dead(row, HERE)


@pytest.mark.parametrize("name", [b"python", b"a b) c", b"((", b") Z 1 1", b"tab\there"])
@pytest.mark.parametrize(
    ("state", "threads", "is_zombie"),
    [(b"S", b"3", False), (b"Z", b"1", True), (b"X", b"0", True), (b"Z", b"2", False)],
)
def test_the_stat_line_is_read_after_the_name(name, state, threads, is_zombie) -> None:
    """A process may be named with spaces and parentheses; a main thread may end before others."""
    fields = [b"0"] * 49
    fields[16], fields[18] = threads, b"777"
    line = b"42 (" + name + b") " + state + b" " + b" ".join(fields)
    stat = identity._parse_stat(line)
    assert stat is not None
    assert (stat.started, stat.is_zombie) == (777, is_zombie)


@pytest.mark.parametrize(
    "line", [b"", b"42 (python", b"42 (python) S 1 2", b"42 (x) S " + b"y " * 30]
)
def test_an_unreadable_stat_line_is_none(line) -> None:
    """Half a line proves nothing."""
    assert identity._parse_stat(line) is None
