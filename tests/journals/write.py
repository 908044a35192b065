"""Writes the journals of this version: once per released format, and for new examples.

python -m tests.journals.write            those that are missing
python -m tests.journals.write --all      all of them; only while their format is unreleased
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

import msgspec

import perdure
from perdure import Status, start
from perdure.testing.replay import Journal
from tests.journals.examples import EXAMPLES
from tests.parts import wait_for

FOLDER = Path(__file__).parent / "v1"


def anywhere(journal: Journal) -> Journal:
    """The same journal as if it had been written on no particular machine: tracebacks have paths."""
    root = f"{Path(__file__).parents[2]}/"

    def moved(text: str | None) -> str | None:
        return None if text is None else text.replace(root, "")

    rows = [
        msgspec.structs.replace(
            row, event=msgspec.structs.replace(row.event, value=moved(row.event.value))
        )
        for row in journal.rows
    ]
    return dataclasses.replace(journal, rows=rows, error=moved(journal.error))


def main() -> None:
    """Run the examples in a project that nobody else sees, and write their journals down."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, perdure.open(project=folder):
        for name, (definition, arguments) in EXAMPLES.items():
            path = FOLDER / f"{name}.json"
            if path.exists() and "--all" not in sys.argv:
                continue
            run = start(definition, *arguments)
            if name in ("doomed", "waiting"):
                wait_for(lambda run=run: len(run.rows()) >= 2)
            if name == "doomed":
                run.cancel("enough")
            if name == "waiting":
                wait_for(lambda run=run: run.status() is Status.WAITING)
            else:
                run.wait(60)
            anywhere(Journal.of(run)).write(path)
            print(path, run.status().value, len(run.rows()), "rows")


if __name__ == "__main__":
    main()
