"""`perdure run`: a workflow or function, on the project's background worker."""

from __future__ import annotations

import sys

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option
from perdure.cli.parameters import DURATION, Surplus


@click.command(
    "run",
    cls=Command,
    short_help="Run a workflow or function, and print its result.",
    examples="""
        perdure run app:fulfil --arg order-42
        perdure run app:fulfil --kw 'items=["book", "pen"]' --key order-42
        perdure run shop/app.py:fulfil --input '{"order": {"id": 42}}'
        echo '["order-42"]' | perdure run app:fulfil --input -
        perdure run app:fulfil --input @order.json --no-wait
    """,
    codes="1: the run failed, was cancelled, or is stuck or blocked. 124: the timeout passed. 130: "
    "Ctrl-C. After 124 and 130 the run goes on.",
)
@click.argument("what", metavar="MODULE:NAME")
@click.argument("words", nargs=-1, cls=Surplus)
@click.option("--arg", "args", multiple=True, metavar="VALUE", help="The next positional input.")
@click.option("--kw", "kws", multiple=True, metavar="NAME=VALUE", help="An input by its name.")
@click.option(
    "--input",
    "given",
    metavar="JSON|@FILE|-",
    help="All inputs: a JSON object by name, or an array by position; @FILE reads it from a file, "
    "- from stdin.",
)
@click.option("--key", help="Idempotency key: the same key and input give the same run.")
@click.option("--no-wait", is_flag=True, help="Print the TID at once, and leave the run to itself.")
@click.option("--timeout", type=DURATION, help="Wait at most so long: 30s, 10m, 1h30m.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback if the run fails.")
@json_option
def command(
    what: str,
    words: tuple[str, ...],
    args: tuple[str, ...],
    kws: tuple[str, ...],
    given: str | None,
    key: str | None,
    no_wait: bool,
    timeout: float | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Run a workflow or function durably, wait, and print its result.

    MODULE:NAME names it, as in app:fulfil or path/to/app.py:fulfil. The run is recorded, and the
    project's background worker executes it (it is started if none is alive); it goes on whatever
    becomes of this command. VALUE is JSON if the input is no text and it can be read as JSON, else
    the text itself. A result that is a text is printed as it is, anything else as JSON.
    """
    from perdure.cli import exits
    from perdure.cli.endings import tell_ending
    from perdure.cli.inputs import read_inputs
    from perdure.cli.output import print_json
    from perdure.cli.starting import find_runnable, start_recorded
    from perdure.cli.waiting import wait_for

    if words:
        raise click.UsageError(
            f"{words[0]!r} is one word too many; for an input write --arg {words[0]}",
            click.get_current_context(),
        )
    if no_wait and timeout is not None:
        raise click.UsageError("--no-wait and --timeout contradict each other; give one of them")
    runnable = find_runnable(what)
    positional, named = read_inputs(runnable.contract, args, kws, given)
    run, connection = start_recorded(runnable, positional, named, key)
    tid = int(run.tid)
    if no_wait:
        if as_json:
            print_json({"tid": str(tid), "name": runnable.name, "status": run.status().value})
        else:
            click.echo(tid)
        return exits.OK
    if sys.stderr.isatty():  # for a second terminal; programs read what the run returns
        click.echo(f"run {tid}; follow it: perdure events {tid} --follow", err=True)
    waited = wait_for(connection, tid, timeout)
    if isinstance(waited, int):
        return waited
    return tell_ending(waited, as_json=as_json, verbose=verbose)
