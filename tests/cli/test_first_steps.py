"""What somebody meets in the first five minutes: bare commands, forgotten inputs, own mistakes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.cli.conftest import DEADLINE, Perdure

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("words", [[], ["worker"]])
def test_a_group_without_a_command_shows_its_help(words: list[str], command: Run) -> None:
    """As it is, and not as a mistake in one long sentence."""
    code, out, err = command(*words)
    assert (code, err) == (2, "")
    assert out == command(*words, "--help")[1]


def test_a_forgotten_input_is_told_with_the_way_to_give_it(project: Perdure) -> None:
    """The name of the input, and the options."""
    done = project("run", "app:bill")
    assert done.returncode == 2
    assert done.stderr == (
        "perdure: bill() missing input 'order'; give it by --arg VALUE, --kw order=VALUE or --input "
        "JSON\n"
    )


def test_an_input_without_its_option_is_told(project: Perdure) -> None:
    """Words after the name are not inputs; the sentence says how they become some."""
    done = project("run", "app:twice", "4", "5")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "perdure: '4' is one word too many; for an input write --arg 4; see"
    )


def test_workers_that_import_what_they_need_are_shown(project: Perdure) -> None:
    """A worker of the project serves what it can import; a host what it has declared."""
    assert project("run", "app:twice").stdout == "12\n"
    done = project("worker", "status")
    assert done.returncode == 0, done.stderr
    assert "what it can import" in done.stdout


def test_a_failed_run_shows_the_line_of_the_body(project: Perdure) -> None:
    """In Python, too: the error comes from the journal, and brings the traceback that was recorded."""
    project.write(
        "script.py",
        "import app, perdure\nif __name__ == '__main__':\n    perdure.run(app.broken)\n",
    )
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=project.root,
        env=project.env,
        text=True,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    assert "raise ValueError(why)" in done.stderr
    assert 'app.py", line' in done.stderr
    assert done.stderr.splitlines()[-1].endswith("of broken failed: ValueError: no way")


def test_on_a_terminal_run_says_at_once_which_run_it_is(project: Perdure) -> None:
    """For a second terminal: events, status, cancel. In a pipe stderr stays empty."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "perdure", "run", "app:twice"],
        cwd=project.root,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    project.children.append(child)
    os.close(theirs)
    said = os.read(ours, 1000).decode()
    assert child.communicate(timeout=DEADLINE)[0] == "12\n"
    os.close(ours)
    tid = project.json("list")[0]["tid"]
    assert said.strip() == f"run {tid}; follow it: perdure events {tid} --follow"
    assert project("run", "app:twice").stderr == ""


def test_an_example_that_would_replace_a_file_is_told(project: Perdure) -> None:
    """The file is kept; what comes next is not the same command again."""
    done = project("init", "--example")
    assert "kept app.py as it was" in done.stdout
    assert "init --example" not in done.stdout
    assert "perdure init NEW_FOLDER --example" in done.stdout
