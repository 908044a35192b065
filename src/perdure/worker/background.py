"""Starts the worker that a project runs for itself, when there is none.

Called by every `start()` of a process that hosts nothing itself, so it must be cheap when a worker
lives (one look at a lock) and must never wait when none does. The lock is taken *here* and handed
over to the child (see `leader.py`), so a burst of starts makes one worker, not hundreds.

A worker that has nothing left to do ends by itself. So that no run is forgotten between its last
look and its end, it lets go of the lock first, looks again, and takes the lock back if there is
work; whoever recorded a run before that look is served, whoever did so later finds the lock free.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Protocol

from perdure.worker.leader import VARIABLE, LeaderLock

log = logging.getLogger("perdure.worker")

LOG_NAME = "worker.log"

LOG_LIMIT = 10_000_000
"""Bytes above which the log is set aside when a worker is started."""


class Project(Protocol):
    """What is needed of `perdure.project.folder.Project`."""

    @property
    def root(self) -> Path:
        """The folder that holds `.perdure/`."""
        ...

    def worker_lock(self, namespace: str = "default") -> Path:
        """The lock of the background worker of a namespace."""
        ...

    @property
    def logs(self) -> Path:
        """The folder of log files."""
        ...


def ensure_background_worker(
    project: Project,
    *,
    namespace: str = "default",
    environ: Mapping[str, str] | None = None,
) -> bool:
    """Start the project's background worker unless one lives or is being started; never waits.

    A worker that cannot be started is logged as a warning and no error: the run that needs it is
    recorded, and the next command tries again.

    Args:
        project: Whose worker.
        namespace: Whose runs it executes.
        environ: The environment of the new worker; None: that of this process.

    Returns:
        Whether one was started by this call.
    """
    lock = LeaderLock(project.worker_lock(namespace))
    environ = {**(os.environ if environ is None else environ), "PERDURE_NAMESPACE": namespace}
    try:
        if not lock.take():
            return False
        try:
            start_background_worker(project, lock, environ=environ)
        finally:
            lock.forget()
    except OSError as error:
        log.warning(
            "the background worker of %s could not be started: %s; its runs wait until one is"
            " (`perdure worker run` starts one by hand)",
            project.root,
            error,
        )
        return False
    return True


def start_background_worker(
    project: Project, lock: LeaderLock, *, environ: Mapping[str, str] | None = None
) -> int:
    """Start a worker that takes over a lock held here, and return its pid.

    Also for a worker that makes way for a successor: the lock is never free in between.

    Raises:
        OSError: It could not be started; the lock is still held here.
    """
    command = [interpreter(), "-m", "perdure", "worker", "run", "--background"]
    environment = dict(os.environ if environ is None else environ)
    environment["PERDURE_PROJECT"] = str(project.root)
    environment[VARIABLE] = str(lock.fd)
    with _open_log(project.logs) as output:
        child = subprocess.Popen(
            command,
            cwd=project.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(lock.fd,),
        )
    lock.hand_over(child.pid)
    # Only the parent can take away a child that has ended. A short-lived parent leaves that to
    # init; one that lives on (a web application) would keep a zombie.
    threading.Thread(target=child.wait, name="perdure-background-wait", daemon=True).start()
    return child.pid


def interpreter() -> str:
    """The Python to start a worker with.

    `sys.executable` names the host in programs that embed Python (uWSGI, mod_wsgi), and is empty in
    some; then it is the interpreter of this environment.

    Raises:
        FileNotFoundError: There is none.
    """
    if Path(sys.executable).name.lower().startswith(("python", "pypy")):
        return sys.executable
    for name in ("python3", "python"):
        path = Path(sys.prefix, "bin", name)
        if path.exists():
            return str(path)
    raise FileNotFoundError(
        f"no Python found in {sys.prefix}/bin (this program runs as {sys.executable!r});"
        " start a worker by hand: perdure worker run"
    )


def _open_log(folder: Path) -> IO[bytes]:
    """The log of background workers, to append to; a long one is set aside first."""
    path = folder / LOG_NAME
    try:
        if path.stat().st_size > LOG_LIMIT:
            path.replace(folder / f"{LOG_NAME}.1")
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
    return path.open("ab", buffering=0)
