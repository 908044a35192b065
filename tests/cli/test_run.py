"""`perdure run` and what is asked of the run afterwards, with a real background worker."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from .conftest import Perdure, until


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        (["app:twice"], "12\n"),
        (["app:twice", "--arg", "5"], "20\n"),
        (["app:twice", "--kw", "n=1"], "4\n"),
        (["app:twice", "--input", "[2]"], "8\n"),
        (["app:twice", "--input", '{"n": 2}'], "8\n"),
        (["app.py:twice", "--arg", "5"], "20\n"),
        (["app:shout", "--arg", "12"], "12\n"),
        (["app:shout", "--arg", "true love"], "TRUE LOVE\n"),
        (["app:double", "--arg", "4"], "8\n"),
        (["app:bill", "--arg", '{"id": 4, "items": ["a", "b"]}'], '{"a":8,"b":8}\n'),
        (["app:bill", "--input", '{"order": {"id": 4, "items": []}}'], "{}\n"),
    ],
)
def test_the_result_is_printed(line: list[str], printed: str, shared: Perdure) -> None:
    """A text is printed as it is, anything else as JSON, and nothing beside it."""
    done = shared("run", *line)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


def test_input_from_a_file_and_from_stdin(shared: Perdure, tmp_path: Path) -> None:
    """`@FILE` and `-` give the inputs from elsewhere."""
    (tmp_path / "order.json").write_text('{"n": 6}')
    assert shared("run", "app:twice", "--input", f"@{tmp_path}/order.json").stdout == "24\n"
    assert shared("run", "app:twice", "--input", "-", input="[7]").stdout == "28\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["app:twise"], "did you mean twice?"),
        (["ap:twice"], "did you mean app?"),
        (["app"], "write MODULE:NAME"),
        (["nowhere.py:twice"], "nowhere.py"),
        (["app:undeclared"], "@function or @workflow above it"),
        (["app:constant"], "is a int"),
        (["app:twice", "--arg", "x"], "'x' (str) at n; its contract says int"),
        (["app:twice", "--arg", "1", "--arg", "2"], "twice()"),
        (["app:twice", "--kw", "m=3"], "no input 'm'"),
        (["app:twice", "--kw", "3"], "NAME=VALUE"),
        (["app:twice", "--input", "[1, 2]"], "more inputs than it takes"),
        (["app:twice", "--input", "7"], "--input is 7"),
        (["app:twice", "--input", "{"], "not JSON"),
        (["app:twice", "--input", "@none.json"], "No such file"),
        (["app:twice", "--input", "[1]", "--arg", "1"], "--input gives all inputs"),
        (["app:twice", "--no-wait", "--timeout", "1s"], "contradict"),
        (["app:shout"], "missing input 'text'"),
        (["app:bill", "--arg", '{"id": "x", "items": []}'], "order.id"),
    ],
)
def test_bad_use_is_refused_before_anything_is_stored(
    line: list[str], said: str, shared: Perdure
) -> None:
    """One sentence with the value and the mend, exit code 2, and no run more than before."""
    before = shared.json("list", "--limit", "1000")
    done = shared("run", *line)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and done.stderr.startswith("perdure: ")
    assert done.stderr.count("\n") == 1
    assert shared.json("list", "--limit", "1000") == before


def test_a_failure_is_told_on_stderr(shared: Perdure) -> None:
    """Type and message in one line, the traceback where it is asked for, exit code 1."""
    done = shared("run", "app:broken", "--arg", "out of paper")
    assert (done.returncode, done.stdout) == (1, "")
    assert "failed: ValueError: out of paper" in done.stderr
    assert "Traceback" not in done.stderr
    tid = shared.json("list", "--limit", "1")[0]["tid"]
    told = shared("result", tid, "-v")
    assert told.returncode == 1
    assert "in boom" in told.stderr and told.stdout == ""
    assert shared.json("result", tid)["error"]["message"] == "out of paper"


def test_a_timeout_leaves_the_run_alone(shared: Perdure) -> None:
    """Exit code 124, the run goes on, and stderr says how to look at it and how to end it."""
    done = shared("run", "app:forever", "--timeout", "200ms")
    assert (done.returncode, done.stdout) == (124, "")
    tid = shared.json("list", "--limit", "1")[0]["tid"]
    assert f"perdure events {tid} --follow" in done.stderr
    assert f"perdure cancel {tid}" in done.stderr
    assert shared("wait", tid, "--timeout", "100ms").returncode == 124
    assert shared("result", tid).returncode == 1
    assert shared("cancel", tid, "--reason", "enough").returncode == 0
    waited = shared("wait", tid)
    assert (waited.returncode, waited.stdout) == (1, "cancelled\n")
    again = shared("cancel", tid)
    assert again.returncode == 1 and "already" in again.stderr
    assert "asked to end: enough" in shared("events", tid).stdout


def test_ctrl_c_leaves_the_run_alone(shared: Perdure) -> None:
    """Ctrl-C ends the waiting, not the run."""
    known = {run["tid"] for run in shared.json("list", "--limit", "1000")}
    child = shared.popen("run", "app:forever")
    until(lambda: {run["tid"] for run in shared.json("list", "--limit", "1000")} - known)
    (tid,) = {run["tid"] for run in shared.json("list", "--limit", "1000")} - known
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert f"run {tid} goes on" in err
    assert shared.json("status", tid)["status"] in ("queued", "running", "waiting")
    shared("cancel", tid)


def test_a_key_gives_the_same_run(shared: Perdure) -> None:
    """The same key and input are the same run; another input is refused and names the run."""
    first = shared("run", "app:twice", "--arg", "9", "--key", "k-1", "--no-wait").stdout
    assert shared("run", "app:twice", "--arg", "9", "--key", "k-1", "--no-wait").stdout == first
    done = shared("run", "app:twice", "--arg", "8", "--key", "k-1")
    assert done.returncode == 2
    assert first.strip() in done.stderr


def test_all_about_a_run(shared: Perdure) -> None:
    """status, result, events and wait tell the same story, for people and for programs."""
    tid = shared("run", "app:twice", "--arg", "2", "--no-wait").stdout.strip()
    assert len(tid) == 19
    waited = shared("wait", tid)
    assert (waited.returncode, waited.stdout) == (0, "completed\n")
    assert shared("result", tid).stdout == shared("result", tid[8:]).stdout == "8\n"
    told = shared.json("status", tid)
    assert (told["tid"], told["name"], told["result"], told["input"]) == (
        tid,
        "twice",
        8,
        {"n": 2},
    )
    page = shared("status", tid).stdout
    assert "completed" in page and "twice" in page
    lines = [json.loads(line) for line in shared("events", tid, "--json").stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["started", "step_completed", "step_completed"]
    table = shared("events", tid, "--follow").stdout
    assert "step 0 double() completed: 4" in table and "step 1 double(n=4)" in table


def test_a_tid_that_is_none(shared: Perdure) -> None:
    """Unknown, ambiguous and impossible TIDs are told apart."""
    shared("run", "app:twice")
    shared("run", "app:twice")
    assert "no run's TID" in shared("status", "0000000").stderr
    assert "write its digits" in shared("result", "abc").stderr
    ambiguous = shared("events", "1")
    assert ambiguous.returncode == 2 and "is not unique" in ambiguous.stderr


def test_filters_of_list(shared: Perdure) -> None:
    """List filters by status, name and number, newest first."""
    shared("run", "app:broken")
    shared("run", "app:twice")
    names = [run["name"] for run in shared.json("list", "--limit", "2")]
    assert names == ["twice", "broken"]
    failed = shared.json("list", "--status", "failed", "--workflow", "broken")
    assert failed and {run["status"] for run in failed} == {"failed"}
    assert shared("list", "--workflow", "nobody").stdout == ""
    assert "2" not in shared("list", "--status", "completed", "--limit", "1").stderr


def test_prints_of_a_module_do_not_mix_with_the_result(project: Perdure) -> None:
    """A module that prints while it is imported prints to stderr here."""
    project.write(
        "noisy.py",
        """
        from perdure import function
        print("hello from the module")
        @function
        def one() -> int:
            return 1
        """,
    )
    done = project("run", "noisy:one")
    assert done.stdout == "1\n" and "hello from the module" in done.stderr


def test_code_that_the_worker_cannot_import_blocks_the_run(project: Perdure) -> None:
    """A run whose code is gone is blocked, says why, and goes on once the code is there."""
    project.write(
        "fleeting.py",
        """
        from perdure import function
        @function
        def one() -> int:
            return 1
        """,
    )
    code = (project.root / "fleeting.py").read_text()
    script = (
        "import os, fleeting, perdure\n"
        "run = perdure.start(fleeting.one)\n"
        "os.unlink('fleeting.py')\n"
        "print(run.tid)"
    )
    import subprocess
    import sys

    tid = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project.root,
        env=project.env,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()
    waited = project("wait", tid)
    assert waited.returncode == 1
    assert "is blocked" in waited.stderr and "fleeting" in waited.stderr
    (project.root / "fleeting.py").write_text(code)
    until(lambda: project.json("status", tid)["status"] == "completed")


def test_a_file_in_the_place_of_a_project(tmp_path: Path) -> None:
    """A command that only looks says the same as one that would make the project."""
    here = Perdure(tmp_path)
    (tmp_path / ".perdure").write_text("not a folder")
    for named in (True, False):
        if not named:
            del here.env["PERDURE_PROJECT"]
        for line in (["list"], ["status", "1"], ["worker", "status"]):
            done = here(*line)
            assert (done.returncode, done.stdout) == (1, "")
            assert f"{tmp_path}/.perdure is a file" in done.stderr


def test_bytes_that_are_no_text_are_refused(shared: Perdure) -> None:
    """Python makes lone surrogates of them, which no database takes."""
    done = shared("run", "app:twice", "--key", os.fsdecode(b"a\xffb"))
    assert done.returncode == 2
    assert "'a\\udcffb' is no idempotency key" in done.stderr
    assert done.stderr.count("\n") == 1
    done = shared("list", "--workflow", os.fsdecode(b"\xff"))
    assert done.returncode == 2
    assert "--workflow '\\udcff' has bytes that are no UTF-8" in done.stderr
    assert done.stderr.count("\n") == 1


def test_why_a_run_was_cancelled(shared: Perdure) -> None:
    """`status`, `result` and `wait` say it."""
    tid = shared("run", "app:forever", "--no-wait").stdout.strip()
    until(lambda: shared.json("status", tid)["status"] == "waiting")
    assert shared("cancel", tid, "--reason", "wrong customer").returncode == 0
    waited = shared("wait", tid)
    assert waited.stdout == "cancelled\n"
    assert "was cancelled: wrong customer" in waited.stderr
    assert "was cancelled: wrong customer" in shared("result", tid).stderr
    assert "wrong customer" in shared("status", tid).stdout
    assert shared.json("status", tid)["reason"] == "wrong customer"


def test_no_project_here(tmp_path: Path) -> None:
    """A command that only looks makes no project."""
    nowhere = Perdure(tmp_path)
    del nowhere.env["PERDURE_PROJECT"]
    for line in (["list"], ["status", "1"], ["worker", "status"]):
        done = nowhere(*line)
        assert (done.returncode, done.stdout) == (2, "")
        assert "there is no project in" in done.stderr
    assert not (tmp_path / ".perdure").exists()


@pytest.mark.parametrize(
    ("spoil", "said", "code"),
    [
        ("perdure.db", "is not a database that SQLite can read", 1),
        ("perdure.toml", "is not TOML", 2),
        ("unknown", "unknown setting colour", 2),
        ("memory", "in the memory of one program", 2),
    ],
)
def test_a_project_that_cannot_be_used(spoil: str, said: str, code: int, project: Perdure) -> None:
    """A damaged database and bad settings are one sentence, never a traceback."""
    match spoil:
        case "perdure.db":
            project.write(".perdure/perdure.db", "this is no database, " * 100)
        case "perdure.toml":
            project.write("perdure.toml", "modules = [")
        case "unknown":
            project.write("perdure.toml", "colour = 3")
        case _:
            project.write("perdure.toml", 'store = "memory:"')
    for line in (["list"], ["run", "app:twice"], ["worker", "run"]):
        done = project(*line)
        assert said in done.stderr and done.stderr.startswith("perdure: ")
        assert "Traceback" not in done.stderr
        assert done.returncode == code


def test_a_project_folder_that_is_none(project: Perdure, tmp_path: Path) -> None:
    """PERDURE_PROJECT that names no folder is told, with what to do."""
    project.env["PERDURE_PROJECT"] = str(tmp_path / "nowhere")
    done = project("list")
    assert done.returncode == 2 and "is not a folder" in done.stderr
