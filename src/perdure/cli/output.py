"""How things are printed: data on stdout, JSON on demand, and nothing that a pipe has to strip."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: object) -> None:
    """Print a value as JSON: indented on a terminal, on one line in a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False))


def print_json_line(value: object) -> None:
    """Print a value as one line of JSON, at once: somebody may be following."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_value(text: str) -> None:
    """Print a recorded value: a text as it is, anything else as JSON."""
    value = json.loads(text)
    if isinstance(value, str):
        click.echo(value)
    elif sys.stdout.isatty():
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        click.echo(text)


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns; on a terminal the last one is cut where the line ends."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    room = _columns() if sys.stdout.isatty() else None
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        text = "  ".join([*cells, line[-1]]).rstrip()
        click.echo(text if room is None or len(text) <= room else text[: room - 1] + "…")


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print what is known of one thing, a line per field; empty ones are left out."""
    known = [(name, value) for name, value in fields if value]
    width = max(len(name) for name, _ in known)
    for name, value in known:
        first, *others = value.splitlines() or [""]
        click.echo(f"{name.ljust(width)}  {first}")
        for line in others:
            click.echo(f"{' ' * width}  {line}")


def short(value: Any, limit: int = 60) -> str:
    """A value as JSON on one line, cut at `limit` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
