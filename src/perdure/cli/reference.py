"""The page of all commands, `docs/reference/cli.md`, written from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from perdure.cli.groups import Command
from perdure.cli.root import root


def reference() -> str:
    """Write the page of all commands (Markdown)."""
    lines = [
        "# Commands",
        "",
        "<!-- Written by docs/generate.py from src/perdure/cli. -->",
        "",
        "Every command has `--help`, and `--json` where it prints something to be read by programs.",
        "Data goes to stdout, everything else to stderr. `TID` is a run's id, or any unique",
        "beginning or end of it.",
        "",
        "| exit code | meaning |",
        "|---|---|",
        "| 0 | done; the run completed |",
        "| 1 | the run failed, was cancelled or stands still; or the store refused |",
        "| 2 | no such run, project, module or command, or it was used in a wrong way |",
        "| 124 | the timeout passed; the run goes on |",
        "| 130 | Ctrl-C; the run goes on |",
    ]
    for name, command in commands(root, "perdure"):
        lines += _page(name, command)
    return "\n".join(lines) + "\n"


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands under a group, with their full names, in the order of the help."""
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def _page(name: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = ["", f"## {name}", "", "```", usage, "```", "", inspect.cleandoc(command.help or "")]
    options = [
        record
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(context)) is not None
    ]
    lines += ["", "| option | |", "|---|---|"]
    for option, text in options:
        lines.append(
            f"| `{option.replace('|', chr(92) + '|')}` | {text.replace('|', chr(92) + '|')} |"
        )
    if isinstance(command, Command):
        if command.examples:
            lines += ["", "```console", *command.examples, "```"]
        if command.codes:
            lines += ["", f"Exit codes: {command.codes}"]
    return lines
