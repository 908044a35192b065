"""Every wait of asyncio, in many orders: the journal repeats bytewise, here and elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.machine import bodies, corpus
from tests.machine.driver import Journal, machine_of

HOUSE = Path(__file__).parents[2]
SEEDS = range(200)


@pytest.fixture(scope="module")
def journals() -> list[Journal]:
    """All bodies played live, once for each seed; every second seed with cancel requests."""
    return corpus.write(SEEDS)


def pythons() -> list[str]:
    """Other interpreters that have msgspec: of PERDURE_TEST_PYTHONS (paths), or found on PATH."""
    named = os.environ.get("PERDURE_TEST_PYTHONS", "").split(os.pathsep)
    found = [shutil.which(f"python3.{minor}") for minor in (11, 12, 13, 14)]
    here = os.path.realpath(sys.executable)
    candidates = {path for path in [*named, *found] if path and os.path.realpath(path) != here}
    return sorted(path for path in candidates if _has_msgspec(path))


def _has_msgspec(path: str) -> bool:
    code = "import msgspec, sys; sys.exit(sys.version_info < (3, 11))"
    done = subprocess.run([path, "-c", code], capture_output=True, check=False)
    return done.returncode == 0


def repeat_with(python: str, journals: bytes, hash_seed: str) -> None:
    """Repeat journals in another process, with warnings as errors; it must say nothing else."""
    path = os.pathsep.join([str(HOUSE / "src"), str(HOUSE)])
    done = subprocess.run(
        [python, "-W", "error", "-m", "tests.machine.corpus", "repeat"],
        input=journals,
        capture_output=True,
        cwd=HOUSE,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed},
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr.decode()) == (0, ""), done.stdout.decode()


def test_the_same_process_repeats_every_journal(journals: list[Journal]) -> None:
    """Delivering the recorded events gives the recorded commands, byte for byte, and the ending."""
    assert len(journals) == len(SEEDS) * (len(bodies.BODIES) + 2)
    assert corpus.differences(journals) == []


def test_replay_agrees_with_the_journal(journals: list[Journal]) -> None:
    """`replay` of the same rows finds nothing to say, and ends as the run ended."""
    for journal in journals[: 30 * len(bodies.BODIES)]:
        machine = machine_of(bodies.find(journal.body), tid=journal.tid)
        machine.replay(journal.rows)
        assert (machine.drift, machine.ending) == ([], journal.ending), journal.body
        machine.close()


def test_another_process_repeats_every_journal(journals: list[Journal]) -> None:
    """Neither addresses nor the seed of string hashes decide anything."""
    repeat_with(sys.executable, msgspec.json.encode(journals), "12345")


def test_other_pythons_repeat_every_journal(journals: list[Journal]) -> None:
    """A journal written on this Python replays on the others that are installed."""
    others = pythons()
    if not others:
        pytest.skip("no other Python with msgspec found; name some in PERDURE_TEST_PYTHONS")
    for python in others:
        repeat_with(python, msgspec.json.encode(journals), "54321")


def test_committed_journals_replay() -> None:
    """Journals written on CPython 3.11 by the first version of the machine replay for ever."""
    text = (Path(__file__).parent / "journals.json").read_bytes()
    journals = msgspec.json.decode(text, type=list[Journal])
    assert len(journals) > 30
    assert corpus.differences(journals) == []


@pytest.mark.parametrize("name", sorted(bodies.BODIES))
def test_bodies_end_as_plain_asyncio_would_end_them(name: str, journals: list[Journal]) -> None:
    """Without a cancel request every body completes: its waits mean what asyncio means by them."""
    endings = {
        type(journal.ending).__name__
        for number, journal in enumerate(journals)
        if journal.body == name and number // (len(bodies.BODIES) + 2) % 2 == 0
    }
    assert endings == {"Complete"}
