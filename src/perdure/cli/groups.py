"""Groups of commands that are imported only when they are called.

A group knows the name, the module and one line of help of each of its commands, so that `--help`
imports none of them. (A test compares the lines with what the commands say of themselves.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


def _width() -> int:
    """How wide help may be: what click would find by way of shutil, without its imports."""
    columns = os.environ.get("COLUMNS", "")
    try:
        found = int(columns) if columns.isdecimal() else os.get_terminal_size().columns
    except OSError:
        found = 80
    return max(min(found or 80, 100) - 2, 50)


SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "terminal_width": _width()}


class LazyGroup(click.Group):
    """A group whose commands are found in modules by their name.

    Args:
        table: For each command the module that has it (as `command`), and its line of help.
    """

    def __init__(
        self, *args: Any, table: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        self.table = dict(table or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        command: click.Command = import_module(self.table[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            raise click.UsageError(self._unknown(name), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, line) for name, (_, line) in self.table.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _unknown(self, name: str) -> str:
        from difflib import get_close_matches  # only a mistake pays for the import

        near = get_close_matches(name, self.table, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(self.table)}"
        return f"there is no command {name!r}; {hint}"


class Command(click.Command):
    """A command whose help ends with examples, kept as they were written.

    Args:
        examples: Command lines, one a line, each with what it does after a `#` where that helps.
        codes: What its exit codes mean, beyond 0 and 2.
    """

    def __init__(self, *args: Any, examples: str = "", codes: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        self.examples = [line.strip() for line in examples.strip().splitlines()]
        self.codes = codes

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.examples))
        if self.codes:
            with formatter.section("Exit codes"):
                formatter.write_text(self.codes)
