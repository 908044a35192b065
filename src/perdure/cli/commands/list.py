"""`perdure list`: the latest runs."""

from __future__ import annotations

import click

from perdure.cli.groups import Command
from perdure.cli.output import json_option, print_json, print_table, short
from perdure.core.run import Status


@click.command(
    "list",
    cls=Command,
    short_help="List the latest runs.",
    examples="""
        perdure list
        perdure list --status failed --status stuck
        perdure list --workflow fulfil --limit 5 --json
    """,
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in Status]),
    metavar="STATUS",
    help="Only runs with this status; may be given more than once.",
)
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow or function.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    help="At most so many.",
)
@json_option
def command(statuses: tuple[str, ...], workflow: str | None, limit: int, as_json: bool) -> None:
    """List the latest runs, newest first."""
    from perdure.cli.opening import open_project
    from perdure.cli.records import brief, took
    from perdure.cli.times import local
    from perdure.core.text import is_writable
    from perdure.store import RunFilter

    if workflow is not None and not is_writable(workflow):
        raise click.UsageError(
            f"--workflow {workflow!r} has bytes that are no UTF-8; no workflow or function is "
            "named so",
            click.get_current_context(),
        )
    with open_project() as opened:
        found = opened.store.runs(
            RunFilter(
                namespace=opened.settings.namespace,
                statuses=[Status(status) for status in statuses] or None,
                name=workflow,
                limit=limit,
            )
        )
        now = opened.store.now()
        if as_json:
            print_json([brief(run) for run in found])
        elif found:
            print_table(
                ("TID", "STATUS", "NAME", "STARTED", "TOOK", ""),
                (
                    (
                        str(run.tid),
                        run.status.value,
                        run.name,
                        local(run.created_at),
                        took(run, now),
                        short(run.reason or "", 200),
                    )
                    for run in found
                ),
            )
        elif statuses or workflow:
            click.echo("no run is like that; `perdure list` shows all", err=True)
        else:
            click.echo("no runs yet; `perdure run MODULE:NAME` makes one", err=True)
        opened.resume()
