"""Every benchmark works, and says what it measured in lines that a program can read.

That is all: the tiny form measures nothing, and no test is about a time.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"name", "value", "unit", "against", "ratio"}
PARTS = {
    "steps-full": {"steps-full"},
    "steps-process": {"steps-process"},
    "steps-dbos": {"steps-dbos", "steps-dbos/wal"},
    "cpu-per-step": {"cpu-per-step", "cpu-per-step/full"},
    "concurrent-50": {"concurrent-50", "concurrent-50/shared"},
    "linear": {"linear"},
    "replay": {"replay"},
    "wake": {"wake/p50", "wake/p99", "wake/idle-cpu"},
    "takeover": {"takeover"},
    "startup": {"startup/import", "startup/help", "startup/list"},
    "memory": {"memory/import", "memory/idle", "memory/suspended"},
}
RATIOS = {"steps-full", "steps-process", "cpu-per-step", "concurrent-50", "linear", "replay"}
NEED_COMMANDS = {"wake", "takeover", "startup", "memory"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    known = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, known))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", list(PARTS))
def test_each_benchmark_prints_its_values_as_lines_of_json(name: str) -> None:
    """What later readers of the figures rely on: the names, the keys, and numbers for values."""
    if name in NEED_COMMANDS and importlib.util.find_spec("perdure.cli") is None:
        pytest.skip("there are no commands to measure")
    done = bench(name, "--json", "--quick")
    assert done.returncode == 0, done.stderr
    if name == "steps-dbos" and "skipped" in done.stderr:
        pytest.skip(done.stderr.strip())
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert {figure["name"] for figure in figures} == PARTS[name]
    for figure in figures:
        assert figure.keys() == KEYS
        assert math.isfinite(figure["value"])
        assert (figure["ratio"] is not None) == (name in RATIOS | {"steps-dbos"})


def test_the_list_names_every_benchmark() -> None:
    """`--list` measures nothing and names all."""
    done = bench("--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(PARTS)


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    """A misspelled name measures nothing."""
    done = bench("steps-ful")
    assert done.returncode == 2
    assert "there is no benchmark 'steps-ful'" in done.stderr
    assert "steps-full" in done.stderr


def test_the_table_shows_what_a_figure_must_reach() -> None:
    """People see the bounds beside the value."""
    done = bench("linear", "--quick")
    assert done.returncode == 0, done.stderr
    assert "must / stretch" in done.stdout
    assert "0.9x / 1x" in done.stdout


def test_a_benchmark_leaves_no_project_behind() -> None:
    """Projects are made beside the repository, and deleted."""
    before = set((ROOT / ".bench").glob("project-*"))
    assert bench("linear", "--quick").returncode == 0
    assert set((ROOT / ".bench").glob("project-*")) <= before
