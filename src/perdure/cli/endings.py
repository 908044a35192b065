"""How a run that was waited for is told: its result on stdout, its failure on stderr, the code."""

from __future__ import annotations

import click

from perdure.cli import exits
from perdure.cli.output import print_json, print_value
from perdure.cli.records import blame, traceback_of, whole
from perdure.cli.shell import complain
from perdure.core.run import Run, Status


def tell_ending(run: Run, *, as_json: bool, verbose: bool) -> int:
    """Print what became of a run that is finished, stuck or blocked.

    Args:
        run: The run, with its payloads.
        as_json: Print all of the run as JSON, whatever became of it.
        verbose: With the traceback of a failure.

    Returns:
        The exit code.
    """
    if as_json:
        print_json(whole(run))
    if run.status is Status.COMPLETED:
        if not as_json:
            print_value(run.output or "null")
        return exits.OK
    tell_failure(run, verbose=verbose)
    return exits.FAILED


def tell_failure(run: Run, *, verbose: bool) -> None:
    """Say on stderr why a run has no result."""
    which = f"run {run.tid} of {run.name}"
    if run.status in (Status.STUCK, Status.BLOCKED):
        complain(f"{which} is {run.status}: {run.reason}")
        return
    if run.status is Status.CANCELLED:
        complain(f"{which} was cancelled{f': {run.reason}' if run.reason else ''}")
        return
    why = f": {blame(run.error)}" if run.error is not None else ""
    said = "failed" if run.status is Status.FAILED else f"ended as {run.status}"
    complain(f"{which} {said}{why}")
    if run.error is None:
        return
    trace = traceback_of(run.error)
    if verbose and trace:
        click.echo(trace, err=True)
    elif trace:
        click.echo(f"the traceback: perdure result {run.tid} -v", err=True)
