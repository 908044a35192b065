"""`perdure result`: what a run returned."""

from __future__ import annotations

import click

from perdure.cli import exits
from perdure.cli.groups import Command
from perdure.cli.output import json_option


@click.command(
    "result",
    cls=Command,
    short_help="Print what a run returned.",
    examples="""
        perdure result 5601
        perdure result 5601 -v         # with the traceback, if it failed
        perdure wait 5601 && perdure result 5601
    """,
    codes="1: the run failed, was cancelled, or is not finished (then stderr says where it stands).",
)
@click.argument("tid")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a run that failed.")
@json_option
def command(tid: str, verbose: bool, as_json: bool) -> int:
    """Print what a run returned: a text as it is, anything else as JSON.

    TID is the run's id, or any unique beginning or end of it. It can be read as often as you like.
    """
    from perdure.cli.endings import tell_ending
    from perdure.cli.opening import open_project
    from perdure.cli.records import stands_still, with_reason
    from perdure.cli.shell import complain
    from perdure.stores.lookup import find_tid

    with open_project() as opened:
        run = opened.store.get(find_tid(opened.store, tid))
        assert run is not None
        run = with_reason(run, opened.store)
        opened.resume()
    if not stands_still(run.status):
        complain(
            f"run {run.tid} of {run.name} has no result yet, it is {run.status}; wait for it: "
            f"perdure wait {run.tid}"
        )
        return exits.FAILED
    return tell_ending(run, as_json=as_json, verbose=verbose)
