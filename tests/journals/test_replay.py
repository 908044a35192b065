"""Journals that were written once are replayed by today's code, on every Python."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from perdure import workflow
from perdure.core.errors import DecodingError, Unreplayable
from perdure.core.events import Command, EventKind, decode_commands
from perdure.core.run import Status
from perdure.testing.replay import Journal, replay
from tests.journals.examples import EXAMPLES, echo

FOLDERS = sorted(path for path in Path(__file__).parent.glob("v*") if path.is_dir())
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.json"))]


def test_every_example_has_its_journal():
    """In the folder of the format that is written today."""
    assert {path.stem for path in FOLDERS[-1].glob("*.json")} == set(EXAMPLES)


def test_every_kind_of_event_and_command_is_there():
    """A kind that is added needs an example, or nobody would notice that it changed."""
    journals = [Journal.read(path) for path in FILES]
    rows = [row for journal in journals for row in journal.rows]
    commands = [command for row in rows for command in decode_commands(row.commands)]
    assert {row.event.kind for row in rows} == set(EventKind)
    assert {type(command) for command in commands} == set(Command.__args__)
    assert any(getattr(command, "key", None) for command in commands)
    ended = {journal.status for journal in journals}
    assert {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.WAITING} <= ended


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_committed_journal_is_replayed(path):
    """The same commands, to the letter, and the same ending."""
    journal = Journal.read(path)
    definition, _arguments = EXAMPLES[path.stem]
    replay(definition, journal)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_any_beginning_of_a_journal_is_replayed(path):
    """A run is found by a new worker after any of its rows."""
    journal = Journal.read(path)
    definition, _arguments = EXAMPLES[path.stem]
    for length in range(len(journal.rows)):
        replay(definition, dataclasses.replace(journal, rows=journal.rows[:length]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_journal_is_written_as_it_was_read(path, tmp_path):
    """The file's form is stable, so that a difference in it is a difference in the journal."""
    Journal.read(path).write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == path.read_text()


def test_other_code_is_named_with_both_sides():
    """What a deployment would do to runs under way."""

    @workflow(name="journal_waiting")
    async def waiting() -> None:
        await echo.options(key="new")("before")

    with pytest.raises(Unreplayable, match="journal has step 0 journal_echo") as caught:
        replay(waiting, Journal.read(FOLDERS[-1] / "waiting.json"))
    assert "with key 'new'" in str(caught.value)


def test_other_inputs_fail_a_strict_replay_only():
    """In production they warn; in a test they are found."""

    @workflow(name="journal_waiting")
    async def waiting() -> None:
        await echo("otherwise")
        import asyncio

        await asyncio.sleep(365 * 86_400)

    journal = Journal.read(FOLDERS[-1] / "waiting.json")
    replay(waiting, journal, strict=False)
    with pytest.raises(Unreplayable, match="otherwise"):
        replay(waiting, journal)


def test_another_result_fails_a_strict_replay():
    """The commands are the same, what comes of them is not."""

    @workflow(name="journal_lost")
    async def lost() -> None:
        await echo("something")
        raise LookupError("another reason")

    with pytest.raises(Unreplayable, match="another reason"):
        replay(lost, Journal.read(FOLDERS[-1] / "lost.json"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "is not a journal"),
        ("[]", "is not a journal"),
        (json.dumps({"format": "perdure-journal/9"}), "this Perdure reads 'perdure-journal/1'"),
    ],
)
def test_what_is_no_journal_is_refused(tmp_path, text, said):
    """With the path and what was expected."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DecodingError, match=said):
        Journal.read(path)
