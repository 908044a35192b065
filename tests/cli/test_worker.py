"""Worker processes: started by hand and by the project, stopped, killed, replaced."""

from __future__ import annotations

import json
import os
import signal

from perdure.worker.identity import Identity, is_proven_dead

from .conftest import APP, DEADLINE, Perdure, until


def test_a_worker_started_by_hand_serves_and_ends_in_good_order(project: Perdure) -> None:
    """SIGTERM lets the step that runs finish; the worker signs off and exits with 0."""
    worker = project.worker("--name", "mine", "--module", "app")
    tid = project("run", "app:holding", "--arg", str(project.root), "--no-wait").stdout.strip()
    until((project.root / "running").exists)
    assert project.json("worker", "status")["workers"][0]["held"] == 1
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr is not None
    until(lambda: "SIGTERM" in worker.stderr.readline())
    (project.root / "go").touch()
    worker.communicate()
    assert worker.returncode == 0
    assert project.rows() == []
    kinds = project("events", tid, "--json").stdout
    assert "step_completed" in kinds, "the step was waited for, and its outcome is kept"


def test_a_second_signal_hands_back_at_once(project: Perdure) -> None:
    """A worker that is told twice does not wait for its steps; the run is handed back."""
    project.env["PERDURE_WORKER_AUTOSTART"] = "false"  # nobody takes it up while we look
    worker = project.worker()
    tid = project("run", "app:holding", "--arg", str(project.root), "--no-wait").stdout.strip()
    until((project.root / "running").exists)
    assert worker.stderr is not None
    worker.send_signal(signal.SIGTERM)
    until(lambda: "SIGTERM" in worker.stderr.readline())
    worker.send_signal(signal.SIGTERM)
    worker.communicate()
    assert worker.returncode == 1
    run = project.json("status", tid)
    assert (run["status"], run["crashes"]) == ("queued", 0)


def test_changed_code_replaces_a_worker_in_its_own_process(project: Perdure) -> None:
    """When a source changes, the worker starts afresh under the same pid, with the new code."""
    worker = project.worker("--module", "app")
    assert project("run", "app:twice", "--arg", "1").stdout == "4\n"
    (before,) = project.rows()
    source = (project.root / "app.py").read_text()
    (project.root / "app.py").write_text(source.replace("return n * 2", "return n * 10"))
    until(lambda: {row.id for row in project.rows()} not in ({before.id}, set()))
    assert project("run", "app:twice", "--arg", "1").stdout == "100\n"
    assert project.pids() == {worker.pid}


def test_a_stop_while_the_worker_starts_afresh_is_obeyed(project: Perdure) -> None:
    """Whether it comes while the old code drains or while the new code is being loaded, the worker
    ends with 0, and nothing of it is left."""
    slow = (
        "\nfrom perdure import function\n"
        "Path = __import__('pathlib').Path\n"
        "if Path('afresh').exists():\n"
        "    Path('loading').touch()\n"
        "    while not Path('go').exists(): pass_time()\n"
    )
    project.write("app.py", APP + slow)
    worker = project.worker("--module", "app")
    (project.root / "afresh").touch()
    project.write("app.py", APP + slow + "# other code\n")
    until((project.root / "loading").exists)
    worker.send_signal(signal.SIGTERM)
    (project.root / "go").touch()
    worker.communicate(timeout=DEADLINE)
    assert worker.returncode == 0
    assert project.rows() == []


def test_a_stop_while_old_code_drains_is_obeyed(project: Perdure) -> None:
    """A worker that waits for a step before it starts afresh does not start afresh any more."""
    worker = project.worker("--module", "app")
    project("run", "app:holding", "--arg", str(project.root), "--no-wait")
    until((project.root / "running").exists)
    project.write("app.py", APP + "# other code\n")
    assert worker.stderr is not None
    until(lambda: "ends: changed" in worker.stderr.readline())
    worker.send_signal(signal.SIGTERM)
    until(lambda: "SIGTERM" in worker.stderr.readline())
    (project.root / "go").touch()
    worker.communicate(timeout=DEADLINE)
    assert worker.returncode == 0
    assert project.rows() == []


def test_changed_code_replaces_the_background_worker(project: Perdure) -> None:
    """The background worker hands its lock to a successor that has the new code."""
    assert project("run", "app:twice", "--arg", "1").stdout == "4\n"
    (before,) = project.rows()
    source = (project.root / "app.py").read_text()
    (project.root / "app.py").write_text(source.replace("return n * 2", "return n * 10"))
    until(lambda: project.pids() not in ({before.pid}, set()))
    assert project("run", "app:twice", "--arg", "1").stdout == "100\n"
    (after,) = project.rows()
    assert after.is_background and after.pid != before.pid


def test_a_module_that_does_not_import(project: Perdure) -> None:
    """A worker started by hand says so and ends; the background worker serves what it can."""
    project.write("broken.py", "import nothing_of_this_name\n")
    project.write("perdure.toml", 'modules = ["broken"]\n')
    done = project("worker", "run")
    assert done.returncode == 1
    assert "nothing_of_this_name" in done.stderr and "Traceback" not in done.stderr
    assert project("run", "app:twice", "--arg", "1").stdout == "4\n"
    assert "nothing_of_this_name" in project.log


def test_one_background_worker_at_a_time(project: Perdure) -> None:
    """A second one finds the lock taken, and exits quietly with 0."""
    project("run", "app:twice")
    done = project("worker", "run", "--background")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(project.rows()) == 1


def test_an_idle_background_worker_ends(project: Perdure) -> None:
    """With nothing left to do it ends after worker.idle_exit, and the lock is free again."""
    project.env["PERDURE_WORKER_IDLE_EXIT"] = "0s"
    project("run", "app:twice")
    until(lambda: not project.rows() and "ends: idle" in project.log)
    until(lambda: project.json("worker", "status")["background_pid"] is None)
    assert project("run", "app:twice", "--arg", "1").stdout == "4\n"


def test_work_that_waits_keeps_the_background_worker(project: Perdure) -> None:
    """A worker whose idle time is nothing stays as long as a run is unfinished."""
    project.env["PERDURE_WORKER_IDLE_EXIT"] = "0s"
    tid = project("run", "app:forever", "--no-wait").stdout.strip()
    until(lambda: project.json("status", tid)["status"] == "waiting" or "ends:" in project.log)
    assert "ends:" not in project.log
    project("cancel", tid)
    until(lambda: "ends: idle" in project.log)
    assert project.json("status", tid)["status"] == "cancelled"


def test_kill_9_of_the_background_worker(project: Perdure) -> None:
    """The next command starts another one, which takes over at once and finishes the run."""
    tid = project("run", "app:holding", "--arg", str(project.root), "--no-wait").stdout.strip()
    until((project.root / "running").exists)
    (row,) = project.rows()
    os.kill(row.pid, signal.SIGKILL)
    here = Identity.of_this_process()
    until(lambda: is_proven_dead(row, here))
    assert project.json("worker", "status")["workers"][0]["state"] == "dead"
    (project.root / "go").touch()
    assert project("run", "app:twice", "--arg", "1").stdout == "4\n"
    waited = project("wait", tid)
    assert (waited.returncode, waited.stdout) == (0, "completed\n")


def test_kill_9_while_somebody_waits(project: Perdure) -> None:
    """Whoever waits for a run sees to it that a worker is there: nobody has to type anything."""
    waiting = project.popen("run", "app:holding", "--arg", str(project.root))
    until((project.root / "running").exists)
    (row,) = project.rows()
    os.kill(row.pid, signal.SIGKILL)
    (project.root / "go").touch()
    out, err = waiting.communicate(timeout=DEADLINE)
    assert (waiting.returncode, out, err) == (0, "done\n", "")
    assert project.pids() not in ({row.pid}, set())


def test_stop(project: Perdure) -> None:
    """`worker stop` ends the background worker alone; with --all the others of this host, too."""
    mine = project.worker("--name", "mine")
    assert project("run", "app:twice").returncode == 0
    background = project.popen("worker", "run", "--background")
    until(lambda: background.pid in project.pids())
    done = project("worker", "stop")
    assert done.returncode == 0 and f":{background.pid} has ended" in done.stdout
    background.communicate()
    assert background.returncode == 0
    assert project.pids() == {mine.pid}
    assert project("worker", "stop").stderr == "no worker to stop\n"
    assert "worker mine has ended" in project("worker", "stop", "--all").stdout
    mine.communicate()
    assert mine.returncode == 0 and project.rows() == []


def test_stop_waits_for_a_worker_that_is_just_being_started(project: Perdure) -> None:
    """What a command has just started is not known yet, and would go on after the stop."""
    for _ in range(3):
        project("run", "app:twice", "--arg", "1", "--no-wait")
        done = project("worker", "stop")
        assert "no worker to stop" not in done.stderr
        assert project.rows() == []


def test_stop_leaves_other_namespaces_alone(project: Perdure) -> None:
    """Two namespaces in one database are strangers: also to --all."""
    project.env["PERDURE_NAMESPACE"] = "other"
    other = project.popen("worker", "run", "--background")
    by_hand = project.worker("--name", "theirs")
    until(lambda: project.pids() == {other.pid, by_hand.pid})
    del project.env["PERDURE_NAMESPACE"]
    for more in ((), ("--all",)):
        assert project("worker", "stop", *more).stderr == "no worker to stop\n"
    assert (other.poll(), by_hand.poll()) == (None, None)
    project.env["PERDURE_NAMESPACE"] = "other"
    assert len(project.json("worker", "stop", "--all")["stopped"]) == 2


def test_stop_says_what_is_left(project: Perdure) -> None:
    """How many runs are unfinished, and what starts them again; nothing where somebody goes on."""
    tids = [project("run", "app:forever", "--no-wait").stdout.strip() for _ in range(2)]
    until(lambda: {project.json("status", tid)["status"] for tid in tids} == {"waiting"})
    done = project("worker", "stop")
    assert done.stderr == (
        "2 unfinished runs are left; the next `perdure run`, `perdure wait` or start() goes on with"
        " what is left, and so does `perdure worker run`\n"
    )
    project("cancel", tids[0])
    assert project("wait", tids[0]).stdout == "cancelled\n"
    assert project.json("worker", "stop")["unfinished"] == 1
    background = project.popen("worker", "run", "--background")
    project.worker("--name", "mine")
    until(lambda: background.pid in project.pids())
    assert project("worker", "stop").stderr == ""


def test_stop_of_a_worker_that_does_not_end(project: Perdure) -> None:
    """It says so and how to end it; --force kills it, and the next worker goes on."""
    tid = project("run", "app:holding", "--arg", str(project.root), "--no-wait").stdout.strip()
    until((project.root / "running").exists)
    (row,) = project.rows()
    os.kill(row.pid, signal.SIGSTOP)
    done = project("worker", "stop", "--timeout", "0.1s")
    assert done.returncode == 124
    assert f"pid {row.pid}" in done.stderr
    assert "`perdure worker stop --force --timeout 0`" in done.stderr
    done = project("worker", "stop", "--force", "--timeout", "0")
    assert done.returncode == 0
    assert done.stdout == f"worker {row.name} was killed; what it ran is run again\n"
    assert done.stderr.startswith("1 unfinished run is left; ")
    assert is_proven_dead(row, Identity.of_this_process())
    (project.root / "go").touch()
    assert project("wait", tid).stdout == "completed\n"
    assert project("result", tid).stdout == "done\n"


def test_a_step_starts_a_run_on_its_own_worker(project: Perdure) -> None:
    """start() in a step finds the worker as its host: nothing else is started."""
    worker = project.worker()
    tid = project("run", "app:starting", "--arg", "4").stdout.strip()
    assert project("wait", tid).stdout == "completed\n"
    assert project("result", tid).stdout == "16\n"
    assert project.pids() == {worker.pid}


def test_a_deleted_project_ends_its_background_worker(project: Perdure) -> None:
    """When .perdure is moved away, the worker notices that its lock is nobody's, and ends."""
    project("run", "app:twice")
    (row,) = project.rows()
    os.rename(project.root / ".perdure", project.root / "gone")
    here = Identity.of_this_process()
    until(lambda: is_proven_dead(row, here))
    assert "was deleted" in (project.root / "gone/logs/worker.log").read_text()


def test_the_log_carries_the_run(project: Perdure) -> None:
    """What a step logs says which run and step it belongs to; log.format = "json" is obeyed."""
    project.write("perdure.toml", '[log]\nformat = "json"\n')
    tid = project("run", "app:twice", "--no-wait").stdout.strip()
    project("wait", tid)
    lines = [json.loads(line) for line in project.log.splitlines()]
    told = [line for line in lines if line["message"] == "doubling"]
    assert [(line["tid"], line["step"], line["step_name"]) for line in told] == [
        (tid, 0, "double"),
        (tid, 1, "double"),
    ]
