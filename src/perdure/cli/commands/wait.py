"""`perdure wait`: until a run is finished."""

from __future__ import annotations

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option
from perdure.cli.parameters import DURATION


@click.command(
    "wait",
    cls=Command,
    short_help="Wait until a run is finished.",
    examples="""
        perdure wait 5601 --timeout 10m
        perdure wait 5601 && perdure result 5601
    """,
    codes="1: it failed, was cancelled, or is stuck or blocked. 124: the timeout passed; the run "
    "goes on.",
)
@click.argument("tid")
@click.option("--timeout", type=DURATION, help="Wait at most so long: 30s, 10m, 1h30m.")
@json_option
def command(tid: str, timeout: float | None, as_json: bool) -> int:
    """Wait until a run is finished, and print its status.

    TID is the run's id, or any unique beginning or end of it. A run that is stuck or blocked waits
    for a person, so waiting for it ends, too.
    """
    from perdure.cli import exits
    from perdure.cli.endings import tell_failure
    from perdure.cli.opening import open_project
    from perdure.cli.output import print_json
    from perdure.cli.records import whole
    from perdure.cli.waiting import wait_for
    from perdure.core.run import Status
    from perdure.stores.lookup import find_tid

    with open_project() as opened:
        found = find_tid(opened.store, tid)
        waited = wait_for(opened.connection(), found, timeout)
    if isinstance(waited, int):
        return waited
    if as_json:
        print_json(whole(waited))
    else:
        click.echo(waited.status.value)
    if waited.status is Status.COMPLETED:
        return exits.OK
    tell_failure(waited, verbose=False)
    return exits.FAILED
