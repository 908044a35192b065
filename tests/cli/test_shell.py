"""The shell of the command line: help, mistakes, and what is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from perdure import __version__
from perdure.cli.groups import Command, LazyGroup
from perdure.cli.reference import commands
from perdure.cli.root import root

from .conftest import SOURCE, Perdure

Run = Callable[..., tuple[int, str, str]]


def all_commands() -> list[tuple[str, click.Command]]:
    return list(commands(root, "perdure"))


def test_version(command: Run) -> None:
    """`--version` says who it is."""
    assert command("--version") == (0, f"perdure {__version__}\n", "")


def test_help_names_every_command(command: Run) -> None:
    """`--help` lists all commands, each with a line."""
    code, out, _ = command("--help")
    assert code == 0
    for name, (_, line) in root.table.items():  # type: ignore[attr-defined]
        assert name in out and line in out


@pytest.mark.parametrize("name", [name for name, _ in all_commands()])
def test_every_command_has_help_with_examples(name: str, command: Run) -> None:
    """A command explains itself, shows how it is used, and has --json."""
    one = dict(all_commands())[name]
    code, out, _ = command(*name.split()[1:], "--help")
    assert code == 0
    assert isinstance(one, Command) and one.examples
    assert one.examples[0] in out
    options = {option for parameter in one.params for option in parameter.opts}
    assert "--json" in options or name == "perdure worker run"


def test_the_lines_of_a_group_are_those_of_its_commands() -> None:
    """A group's help does not import its commands, so its copy of their lines is compared here."""
    groups: list[click.Command] = [root]
    for group in groups:
        assert isinstance(group, LazyGroup)
        context = click.Context(group)
        for name, (_, line) in group.table.items():
            one = group.get_command(context, name)
            assert one is not None and one.name == name
            assert one.get_short_help_str(100).rstrip(".") == line.rstrip(".")
            if isinstance(one, LazyGroup):
                groups.append(one)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lst", "there is no command 'lst'; did you mean list?"),
        ("worker stat", "did you mean status?"),
        ("list --limti 3", "--limit"),
        ("frobnicate", "the commands are init, demo, run"),
        ("run", "missing argument 'MODULE:NAME'"),
        ("list --limit x", "'x' is not a valid integer"),
        ("wait 12 --timeout soon", "soon"),
    ],
)
def test_mistakes_are_one_sentence_with_the_nearest_name(
    line: str, expected: str, command: Run
) -> None:
    """Bad use is told in one line on stderr, with a way on, and exits with 2."""
    code, out, err = command(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith("perdure: ") and err.count("\n") == 1
    assert expected in err and "--help" in err


# A command that looks at runs starts without what executes them. What stands here costs from 3 ms
# (difflib) to 60 (asyncio with the client).
FORBIDDEN = {
    "asyncio", "concurrent.futures", "difflib", "email", "http", "logging", "msgspec",
    "subprocess", "tempfile", "unittest", "uuid",
    "perdure.author", "perdure.client.connection", "perdure.client.handle", "perdure.client.host",
    "perdure.engine", "perdure.machine", "perdure.worker",
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("--help", {"dataclasses", "sqlite3", "perdure.core", "perdure.project", "perdure.store"}),
        ("list --help", {"sqlite3", "perdure.project", "perdure.store"}),
        ("list", {"shutil"}),
        ("list --json", {"shutil"}),
        ("status 1", {"shutil"}),
    ],
)
def test_hot_paths_import_nothing_that_they_do_not_need(
    line: str, more: set[str], project: Perdure
) -> None:
    """`--help`, `list` and `status` start fast because they load little."""
    project("list")
    script = (
        "import sys\nfrom perdure.cli.shell import execute\n"
        f"before = set(sys.modules)\nexecute({line.split()!r})\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**project.env, "PYTHONPATH": str(SOURCE)},
        cwd=project.root,
        text=True,
        capture_output=True,
        check=True,
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "click" in loaded
    assert loaded & (FORBIDDEN | more) <= _modules_of_click()


def _modules_of_click() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, click; print(*sys.modules)"],
        text=True,
        capture_output=True,
        check=True,
    )
    return set(done.stdout.split())


def test_a_reader_that_has_seen_enough(project: Perdure) -> None:
    """`perdure list | head -0` ends quietly."""
    child = project.popen("list", "--json")
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    assert child.wait() in (0, 1)
    assert child.stderr.read() == ""
