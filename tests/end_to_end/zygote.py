"""A process that forks others: each one starts in a millisecond, with everything imported.

The tests speak to it through pipes; it has no threads, so forking it is safe. What a child says on
stderr goes to a file, which is shown when the child fails.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Child:
    """A forked process."""

    zygote: Zygote
    pid: int
    log: Path

    def wait(self) -> int:
        """Wait for its end: its exit code, or minus the signal that ended it."""
        return int(self.zygote.ask({"wait": self.pid}))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended gets none."""
        os.kill(self.pid, number)

    def said(self) -> str:
        """What it wrote to stderr so far."""
        return self.log.read_text(errors="replace")


class Zygote:
    """Forks children that call a function.

    Args:
        modules: What is imported before any fork.
    """

    def __init__(self, *modules: str) -> None:
        source = str(ROOT / "src")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.zygote", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{source}:{ROOT}"},
        )
        self._children: set[int] = set()
        self._count = 0

    def ask(self, command: dict[str, Any]) -> Any:
        """Send a command and return what is answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the zygote has died"
        answer = json.loads(line)
        if "wait" in command:
            self._children.discard(command["wait"])
        return answer

    def fork(self, project: Path, target: str, *arguments: Any) -> Child:
        """Call "module:function" in a new process whose project and current folder is `project`."""
        self._count += 1
        log = project / f"stderr-{self._count}"
        pid = self.ask(
            {"fork": target, "args": arguments, "project": str(project), "log": str(log)}
        )
        self._children.add(pid)
        return Child(self, pid, log)

    def run(self, project: Path, target: str, *arguments: Any) -> int:
        """`fork` and wait; returns the exit code."""
        return self.fork(project, target, *arguments).wait()

    def close(self) -> None:
        """End it, and all that it forked and nobody waited for."""
        for pid in list(self._children):
            for number in (signal.SIGKILL, signal.SIGCONT):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _serve() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what children print is not taken for an answer
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            _pid, status = os.waitpid(command["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                _live(command)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _live(command: dict[str, Any]) -> None:
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(command["project"])
        os.environ["PERDURE_PROJECT"] = command["project"]
        module, _, name = command["fork"].partition(":")
        getattr(importlib.import_module(module), name)(*command["args"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
