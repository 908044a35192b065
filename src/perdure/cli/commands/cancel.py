"""`perdure cancel`: ask a run to end."""

from __future__ import annotations

import click

from perdure.cli import exits
from perdure.cli.groups import Command
from perdure.cli.output import json_option


@click.command(
    "cancel",
    cls=Command,
    short_help="Ask a run to end.",
    examples="""
        perdure cancel 5601 --reason "wrong customer"
        perdure cancel 5601 && perdure wait 5601
    """,
    codes="1: the run was finished already.",
)
@click.argument("tid")
@click.option(
    "--reason",
    metavar="TEXT",
    help="Why; kept in the run's journal, and shown by status, wait and result.",
)
@json_option
def command(tid: str, reason: str | None, as_json: bool) -> int:
    """Ask a run to end: its body is cancelled, and may clean up before it ends.

    TID is the run's id, or any unique beginning or end of it.
    """
    from perdure.cli.opening import open_project
    from perdure.cli.output import print_json
    from perdure.cli.shell import complain
    from perdure.client.handle import Run
    from perdure.client.serving import ensure_served
    from perdure.stores.lookup import find_tid

    with open_project() as opened:
        found = find_tid(opened.store, tid)
    connection = opened.connection()
    try:
        run = Run[object](connection, found)
        accepted = run.cancel(reason)
        record = run.record()
        if accepted and not record.status.is_final:
            ensure_served(connection, record.name)  # its body wants to clean up
    finally:
        connection.close()
    if as_json:
        print_json({"tid": str(found), "accepted": accepted, "status": record.status.value})
    elif accepted:
        click.echo(f"run {found} of {record.name} is asked to end; it is {record.status}")
    if not accepted:
        complain(f"run {found} of {record.name} is {record.status} already; nothing was changed")
        return exits.FAILED
    return exits.OK
