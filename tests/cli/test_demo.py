"""The demo: what it shows is checked here too, and its checks can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perdure.cli.demo.proof import facts
from perdure.core.events import Event, EventKind, Row

from .conftest import Perdure

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "source_tree.py"


def test_the_example_is_the_workflow_of_the_demo() -> None:
    """A reader who copies examples/source_tree.py has what the demo runs."""
    assert (ROOT / "src/perdure/cli/demo/source_tree.py").read_text() == EXAMPLE.read_text()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of 120 small Python files, one of which is not valid."""
    folder = tmp_path / "tree"
    for number in range(120):
        package = folder / f"part{number % 7}"
        package.mkdir(parents=True, exist_ok=True)
        body = f"import os\n\n\ndef f{number}(x):\n    return x\n" * 40
        (package / f"m{number}.py").write_text(body)
    (folder / "part0" / "wrong.py").write_text("def (:\n")
    (folder / "notes.txt").write_text("no Python")
    return folder


def test_the_demo_survives_and_proves_it(tree: Path, tmp_path: Path) -> None:
    """A small tree is surveyed, killed in the middle, finished and found in order."""
    perdure = Perdure(tmp_path)
    done = perdure("demo", str(tree), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] and set(found["facts"].values()) == {True}
    assert found["files"] == found["report"]["files"] == 121
    assert found["report"]["functions"] == 120 * 40 and found["report"]["unreadable"] == 1
    assert found["report"]["hubs"][0] == [120, "os"]
    assert 0 < found["recorded_at_kill"] < found["journal_rows"]
    assert not Path(found["report"]["written_to"]).exists(), "nothing is left behind"


def test_a_tree_that_is_too_small(tmp_path: Path) -> None:
    """A tree that would be read before anybody can be killed is refused in a sentence."""
    (tmp_path / "one.py").write_text("x = 1\n")
    done = Perdure(tmp_path)("demo", str(tmp_path), "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there are only 1 Python files" in done.stderr


# --- The proof -----------------------------------------------------------------------------------


def _row(seq: int, ordinal: int) -> Row:
    return Row(seq, seq, 1, Event(kind=EventKind.STEP_COMPLETED, ordinal=ordinal, value="1"))


FILES = [f"m{number}.py" for number in range(6)]
JOURNAL = [
    Row(0, 0, 1, Event(kind=EventKind.STARTED)),
    *(_row(seq, seq - 1) for seq in range(1, 8)),
]
"""Step 0 finds the files, steps 1 to 6 read them; three rows were there at the kill."""
EXECUTIONS = [(step, FILES[step - 1]) for step in range(1, 7)]


def _broken(**changes: list[object]) -> list[str]:
    """Which facts do not hold of a story."""
    story: dict[str, object] = {
        "before": JOURNAL[:4],
        "after": JOURNAL,
        "executions": EXECUTIONS,
        "files": FILES,
        **changes,
    }
    return [fact.name for fact in facts(**story, at_once=2) if not fact.holds]  # type: ignore[arg-type]


def test_a_good_story_holds() -> None:
    """Every file once, or twice if it was cut off by the kill."""
    assert _broken() == []
    assert _broken(executions=[*EXECUTIONS, (4, FILES[3])]) == []


def test_the_proof_sees_a_repeated_step() -> None:
    """A step that was recorded before the kill and ran again is found."""
    assert "recorded_steps_ran_once" in _broken(executions=[*EXECUTIONS, (1, FILES[0])])


def test_the_proof_sees_a_lost_file() -> None:
    """A file that nobody read, or whose outcome is missing, is found."""
    assert "nothing_lost" in _broken(executions=EXECUTIONS[:-1])
    assert "nothing_lost" in _broken(after=JOURNAL[:-1])


def test_the_proof_sees_a_step_that_is_recorded_twice() -> None:
    """An outcome that stands in the journal twice is found."""
    assert "nothing_recorded_twice" in _broken(after=[*JOURNAL, _row(8, 3)])


def test_the_proof_sees_too_many_executions() -> None:
    """More repetitions than steps can have been cut off are found."""
    again = [(4, FILES[3]), (5, FILES[4]), (6, FILES[5])]
    assert "only_what_was_cut_off_ran_again" in _broken(executions=EXECUTIONS + again)


def test_the_proof_sees_a_changed_journal() -> None:
    """A row that is not what it was at the kill is found."""
    assert "journal_only_grew" in _broken(after=[JOURNAL[0], _row(1, 5), *JOURNAL[2:]])
    assert "journal_only_grew" in _broken(after=[*JOURNAL[:5], *JOURNAL[6:]])
