"""The demo from its beginning to its end."""

from __future__ import annotations

import json
import os
import signal
import sys
import sysconfig
import time
from typing import TYPE_CHECKING, Any

import click

from perdure.cli import exits
from perdure.cli.bar import Bar
from perdure.cli.demo.proof import Fact, facts
from perdure.cli.demo.stage import EXAMPLE, DemoFailed, Stage
from perdure.cli.output import print_json
from perdure.cli.records import blame
from perdure.core.run import Status

if TYPE_CHECKING:
    import subprocess

    from perdure.core.events import Row

KILL_AT = 0.4
"""The share of all files after which the worker is killed."""
FEWEST = 50
"""With fewer files the run would be over before it can be killed."""
AT_ONCE = 8
"""As source_tree.py says."""


def play(folder: str | None, *, keep: bool, as_json: bool) -> int:
    """Survey a folder, kill the worker on the way, finish with another one, and look.

    Args:
        folder: Which tree of Python files; None: this interpreter's standard library.
        keep: Leave the demo's project for a look.
        as_json: Print what was found as JSON, and nothing else.

    Returns:
        The exit code: 1 if a fact does not hold.
    """
    folder = os.path.abspath(folder or sysconfig.get_path("stdlib"))
    with Stage(keep=keep) as stage:
        show = _Show(is_silent=as_json)
        found = _Play(stage, folder, show).perform()
        if as_json:
            print_json(found)
        if keep and not as_json:
            click.echo(f"\nThe project is kept: cd {stage.root} && perdure list")
    return exits.OK if found["ok"] else exits.FAILED


class _Show:
    def __init__(self, *, is_silent: bool) -> None:
        self.is_silent = is_silent

    def say(self, text: str = "") -> None:
        if not self.is_silent:
            click.echo(text)

    def bar(self) -> Bar:
        return Bar("files", is_silent=self.is_silent)


class _Play:
    def __init__(self, stage: Stage, folder: str, show: _Show) -> None:
        self._stage = stage
        self._folder = folder
        self._show = show
        self._files: list[str] = []
        self._done = 0

    def perform(self) -> dict[str, Any]:
        stage, say = self._stage, self._show.say
        say(
            f"A workflow reads every Python file under {self._folder},\none durable step per file.\n"
        )
        began = time.monotonic()
        first = stage.start_worker("first")
        tid = stage.begin(self._folder)
        say(f"1. The worker {first.pid} takes up run {tid}.")
        _, seen = self._watch(tid, first, after=-1, until=KILL_AT)
        self._check_size(tid)

        first.send_signal(signal.SIGKILL)
        first.wait()
        killed = time.monotonic()
        before = stage.connection.store.journal(tid)
        for row in before[seen + 1 :]:
            self._note(row)
        say(f"\n2. kill -9 {first.pid}, in the middle of it.\n")

        second = stage.start_worker("second")
        say(f"3. A new worker, {second.pid}, goes on.")
        resumed, _ = self._watch(tid, second, after=before[-1].seq, until=1.0)
        ended = time.monotonic()
        run = stage.run(tid)
        if run.status is not Status.COMPLETED:
            why = blame(run.error) if run.error else run.reason
            raise DemoFailed(f"the run {tid} ended as {run.status}: {why}")

        after = stage.connection.store.journal(tid)
        looked = facts(before, after, stage.executions(), self._files, AT_ONCE)
        self._tell(looked)
        report = json.loads(run.output or "null")
        self._tell_report(report, after, ended - began, resumed - killed)
        return {
            "ok": all(fact.holds for fact in looked),
            "tid": str(tid),
            "folder": self._folder,
            "files": len(self._files),
            "recorded_at_kill": len(before),
            "journal_rows": len(after),
            "executions": len(stage.executions()),
            "seconds": round(ended - began, 3),
            "back_at_work_after_seconds": round(resumed - killed, 3),
            "facts": {fact.name: fact.holds for fact in looked},
            "report": report,
        }

    def _watch(
        self, tid: int, worker: subprocess.Popen[bytes], *, after: int, until: float
    ) -> tuple[float, int]:
        """Show the progress until this share of the files is done, or the run is over; when the
        first row came, and which was the last."""
        first, seen = 0.0, after
        with self._show.bar() as bar:
            for row in self._stage.rows(tid, worker, after):
                if row is None:
                    continue
                first = first or time.monotonic()
                seen = row.seq
                self._note(row)
                bar.show(self._done, len(self._files))
                if until < 1 and self._files and self._done >= until * len(self._files):
                    break
        return first, seen

    def _note(self, row: Row) -> None:
        if row.event.kind != "step_completed":
            return
        if row.event.ordinal == 0:
            self._files = json.loads(row.event.value or "[]")
        elif self._done < len(self._files):
            self._done += 1

    def _check_size(self, tid: int) -> None:
        run = self._stage.run(tid)
        if run.status is Status.FAILED:
            raise click.UsageError(blame(run.error))
        if len(self._files) < FEWEST or run.status.is_final:
            raise click.UsageError(
                f"there are only {len(self._files)} Python files under {self._folder}, and they "
                "are read before anybody could be killed; name a larger tree"
            )

    def _tell(self, looked: list[Fact]) -> None:
        self._show.say("\n4. The journal, and the log that the steps wrote beside it, say:")
        for fact in looked:
            self._show.say(f"   {'✓' if fact.holds else '✗ NOT TRUE:'} {fact.sentence}")

    def _tell_report(
        self, report: dict[str, Any], after: list[Row], took: float, gap: float
    ) -> None:
        say = self._show.say
        say(
            f"\nThe report: {report['files']} files, {report['lines']:,} lines, "
            f"{report['functions']:,} functions, {report['classes']:,} classes."
        )
        length, name = report["longest"][0]
        say(f"   The longest function is {name}, with {length} lines.")
        hubs = ", ".join(f"{name} ({count})" for count, name in report["hubs"])
        say(f"   Imported by the most files: {hubs}.")
        say(
            f"\n{len(after)} journal rows, {took:.1f} s in all; the new worker was at work "
            f"{gap:.2f} s after the kill."
        )
        say(
            f"\nNow try it yourself:\n"
            f"   {EXAMPLE}   the workflow that you have seen\n"
            "   perdure init --example my-project      a project with a small one of your own\n"
            "   perdure demo --keep                    then look: perdure list, status, events"
        )
        sys.stdout.flush()
