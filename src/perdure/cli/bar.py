"""Progress: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import click

WIDTH = 40
LINES = 5
"""In a pipe, so many lines from nothing to all."""


class Bar:
    """Shows how much of a whole is done; a context manager that ends its line.

    Args:
        unit: What is counted.
        is_silent: Show nothing.
    """

    def __init__(self, unit: str, *, is_silent: bool = False) -> None:
        self._unit = unit
        self._is_silent = is_silent
        self._is_terminal = sys.stdout.isatty()
        self._shown = -1
        self._is_open = False

    def show(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done; cheap, however often it is called."""
        parts = WIDTH if self._is_terminal else LINES
        share = done * parts // total if total else 0
        if self._is_silent or not total:
            return
        if self._is_terminal:
            line = f"   [{'█' * share}{'·' * (WIDTH - share)}] {done} of {total} {self._unit}"
            click.echo(f"\r{line}", nl=False)
            self._is_open = True
        elif share != self._shown:
            click.echo(f"   {done} of {total} {self._unit}")
        self._shown = share

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_open:
            click.echo()
