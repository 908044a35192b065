"""`perdure retry`: try stuck runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perdure.cli import exits
from perdure.cli.groups import Command
from perdure.cli.output import json_option

if TYPE_CHECKING:
    from perdure.core.run import Run as Record


@click.command(
    "retry",
    cls=Command,
    short_help="Try stuck runs again.",
    examples="""
        perdure retry 5601
        perdure retry 5601 7702 --json      # a line of JSON for each
        perdure retry 5601 && perdure wait 5601
    """,
    codes="1: a run is not stuck; it was left as it is.",
)
@click.argument("tids", metavar="TID...", nargs=-1, required=True)
@json_option
def command(tids: tuple[str, ...], as_json: bool) -> int:
    """Try stuck runs again, whatever they were parked for: mend the cause first.

    TID is a run's id, or any unique beginning or end of it. What is recorded is not executed again.
    The project's background worker is started if no worker is alive.
    """
    from perdure.cli.opening import open_project
    from perdure.cli.output import print_json_line
    from perdure.cli.shell import complain
    from perdure.client.handle import Run
    from perdure.stores.lookup import find_tid

    with open_project() as opened:
        found = [find_tid(opened.store, tid) for tid in tids]
    connection = opened.connection()
    code = exits.OK
    try:
        for tid in found:
            run = Run[object](connection, tid)
            accepted = run.retry()
            record = run.record()
            if as_json:
                print_json_line(
                    {"tid": str(tid), "accepted": accepted, "status": record.status.value}
                )
            elif accepted:
                click.echo(f"run {tid} of {record.name} is tried again; it is {record.status}")
            if not accepted:
                complain(_refusal(record))
                code = exits.FAILED
    finally:
        connection.close()
    return code


def _refusal(run: Record) -> str:
    """Why a run is not tried again, and what to do instead."""
    from perdure.core.run import Status

    which = f"run {run.tid} of {run.name}"
    match run.status:
        case Status.COMPLETED:
            return f"{which} is completed; there is nothing to retry"
        case Status.QUEUED:
            return f"{which} is queued already; a worker takes it up when it is due"
        case Status.RUNNING:
            return f"{which} is running; there is nothing to retry (perdure events {run.tid})"
        case Status.WAITING:
            return f"{which} is waiting and goes on by itself (perdure events {run.tid})"
        case Status.BLOCKED:
            return (
                f"{which} is blocked and goes on by itself once a worker has its code: {run.reason}"
            )
        case Status.STUCK:
            return f"{which} has just been parked once more: {run.reason}"
        case _:
            key = ", with another key" if run.key is not None else ""
            return (
                f"{which} is {run.status}, and only a stuck run can be retried at present; start "
                f"it again{key}"
            )
