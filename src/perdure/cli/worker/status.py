"""`perdure worker status`: who works for this project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option

if TYPE_CHECKING:
    from perdure.store import WorkerRow
    from perdure.worker.identity import Identity


@click.command(
    "status",
    cls=Command,
    short_help="Show the workers, and whether they live.",
    examples="""
        perdure worker status
        perdure worker status --json
    """,
)
@json_option
def command(as_json: bool) -> None:
    """Show the workers of this project: what they hold, and whether they live.

    A worker is alive as long as it keeps its lease; on this host it can also be proven dead.
    """
    from perdure.cli.opening import open_project
    from perdure.cli.output import print_json, print_table, short
    from perdure.cli.times import lasting
    from perdure.worker.background import LOG_NAME
    from perdure.worker.identity import Identity
    from perdure.worker.leader import LeaderLock

    with open_project() as opened:
        now = opened.store.now()
        here = Identity.of_this_process()
        workers: list[dict[str, Any]] = [
            {**_told(row, here, now), "held": len(opened.store.held(row.id))}
            for row in opened.store.workers()
        ]
        holder = LeaderLock(opened.project.worker_lock(opened.settings.namespace)).holder()
        log = opened.project.logs / LOG_NAME
    background = None if holder is None else holder.get("pid")
    if as_json:
        print_json(
            {
                "project": str(opened.project.root),
                "workers": workers,
                "background_pid": background,
                "log": str(log) if log.exists() else None,
            }
        )
        return
    if workers:
        print_table(
            ("WORKER", "STATE", "PID", "HOLDS", "SINCE", "KIND", "SERVES"),
            (
                (
                    one["name"],
                    one["state"],
                    str(one["pid"]),
                    f"{one['held']} run{'' if one['held'] == 1 else 's'}",
                    lasting(int(one["age_seconds"] * 1_000_000)),
                    _kind(one),
                    short(_served(one["serves"]), 100),
                )
                for one in workers
            ),
        )
    else:
        click.echo("no worker is registered; `perdure run` starts one when it needs one", err=True)
    if holder is not None:
        click.echo(f"the background worker is pid {background or '?'}", err=True)
    if log.exists():
        click.echo(f"background workers log to {log}", err=True)


def _kind(one: dict[str, Any]) -> str:
    if one["is_background"]:
        return "background"
    return "in a program" if one["serves"] else "by hand"


def _told(row: WorkerRow, here: Identity, now: int) -> dict[str, Any]:
    from perdure.cli.worker.state import state_of

    return {
        "worker": str(row.id),
        "name": row.name,
        "state": state_of(row, here, now),
        "host": row.host,
        "pid": row.pid,
        "is_background": row.is_background,
        "namespace": row.namespace,
        "serves": None if row.serves is None else list(row.serves),
        "python": row.python,
        "age_seconds": (now - row.registered_at) / 1_000_000,
    }


def _served(names: Sequence[str] | None) -> str:
    """Which runs a worker executes, in words."""
    return "what it can import" if names is None else ", ".join(names) or "nothing"
