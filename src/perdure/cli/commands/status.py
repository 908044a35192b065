"""`perdure status`: all about one run."""

from __future__ import annotations

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option, print_fields, print_json


@click.command(
    "status",
    cls=Command,
    short_help="Show all about one run.",
    examples="""
        perdure status 1799182467912345601
        perdure status 5601            # any beginning or end that is unique
        perdure status 5601 --json
    """,
)
@click.argument("tid")
@json_option
def command(tid: str, as_json: bool) -> None:
    """Show all about one run: where it stands, why, what went in and what came out.

    TID is the run's id, or any unique beginning or end of it.
    """
    from perdure.cli.opening import open_project
    from perdure.cli.records import fields, whole, with_reason
    from perdure.stores.lookup import find_tid

    with open_project() as opened:
        run = opened.store.get(find_tid(opened.store, tid))
        assert run is not None
        run = with_reason(run, opened.store)
        worker = ""
        if run.worker is not None and not as_json:
            names = {row.id: row.name for row in opened.store.workers()}
            worker = names.get(run.worker, str(run.worker))
        if as_json:
            print_json(whole(run))
        else:
            print_fields(fields(run, opened.store.now(), worker))
            if run.error is not None:
                click.echo(f"the traceback: perdure result {run.tid} -v", err=True)
        opened.resume()
