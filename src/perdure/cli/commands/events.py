"""`perdure events`: the journal of a run."""

from __future__ import annotations

import click

from perdure.cli.groups import Command


@click.command(
    "events",
    cls=Command,
    short_help="Read the journal of a run.",
    examples="""
        perdure events 5601
        perdure events 5601 --follow   # until the run is finished
        perdure events 5601 --json | jq 'select(.kind == "step_failed")'
    """,
)
@click.argument("tid")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the run is over.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def command(tid: str, follow: bool, as_json: bool) -> int:
    """Read the journal of a run: all that happened to it, oldest first.

    TID is the run's id, or any unique beginning or end of it.
    """
    from perdure.cli import exits
    from perdure.cli.journal import Teller
    from perdure.cli.opening import open_project
    from perdure.cli.output import print_json_line
    from perdure.client.handle import Run
    from perdure.stores.lookup import find_tid

    with open_project() as opened:
        found = find_tid(opened.store, tid)
        opened.resume()
    connection = opened.connection()
    teller = Teller()
    try:
        for entry in Run[object](connection, found).events(follow=follow):
            if as_json:
                print_json_line(entry.as_json())
            else:
                for line in teller.tell(entry):
                    click.echo(line)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    finally:
        connection.close()
    return exits.OK
