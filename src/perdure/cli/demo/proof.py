"""What must be true after a kill -9, asked of the journal and of what the steps wrote beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.core.events import Row


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at.

    Attributes:
        name: For programs.
        sentence: What was found, in words.
        holds: Whether it is as it must be.
    """

    name: str
    sentence: str
    holds: bool


def facts(
    before: Sequence[Row],
    after: Sequence[Row],
    executions: Sequence[tuple[int, str]],
    files: Sequence[str],
    at_once: int,
) -> list[Fact]:
    """Compare the journal at the moment of the kill, the finished one, and the log of executions.

    Args:
        before, after: The journal when the worker was dead, and at the end.
        executions: (ordinal of the step, path) of every execution of a step, from outside.
        files: The paths that had to be read.
        at_once: How many steps the workflow runs at once.
    """
    recorded = _completed(before)
    completed = _completed(after)
    executed = Counter(ordinal for ordinal, _ in executions)
    read = {ordinal for ordinal in executed if ordinal in completed}
    again = {ordinal: count for ordinal, count in executed.items() if count > 1}
    repeated = [ordinal for ordinal in recorded if executed[ordinal] > 1]
    reads_before = sum(1 for ordinal in recorded if executed[ordinal])
    extra = len(executions) - len(files)
    return [
        Fact(
            "recorded_steps_ran_once",
            f"{reads_before} files were recorded before the kill; "
            f"{len(repeated) or 'none'} of them ran again",
            bool(reads_before) and not repeated,
        ),
        Fact(
            "nothing_lost",
            f"{len(files)} files, {len(read)} outcomes in the journal: "
            f"{len(files) - len(read) or 'none'} lost",
            Counter(path for path, count in Counter(p for _, p in executions).items() if count)
            == Counter(files)
            and len(read) == len(files),
        ),
        Fact(
            "nothing_recorded_twice",
            f"{sum(completed.values())} steps completed, "
            f"{sum(completed.values()) - len(completed) or 'none'} recorded twice",
            max(completed.values(), default=0) == 1,
        ),
        Fact(
            "only_what_was_cut_off_ran_again",
            f"{extra or 'no'} steps were cut off by the kill, unrecorded, and ran again "
            f"(at most {at_once} run at once)",
            0 <= extra <= at_once and not again.keys() & recorded.keys(),
        ),
        Fact(
            "journal_only_grew",
            f"the {len(before)} rows that the journal had at the kill are as they were",
            list(after[: len(before)]) == list(before) and _is_gapless(after),
        ),
    ]


def _completed(rows: Sequence[Row]) -> Counter[int]:
    """How often each step is recorded as completed."""
    return Counter(
        row.event.ordinal
        for row in rows
        if row.event.kind == "step_completed" and row.event.ordinal is not None
    )


def _is_gapless(rows: Sequence[Row]) -> bool:
    return [row.seq for row in rows] == list(range(len(rows)))
