"""The ground on which is measured: projects to throw away, and processes that work in them.

Projects lie beside the repository and not in the system's temporary folder, which may be memory: a
commit would then cost nothing, and every ratio would be wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".bench"
"""Where projects are made, and the peers' environments kept."""


@contextlib.contextmanager
def project() -> Iterator[Path]:
    """A new project, deleted afterwards."""
    PLACE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="project-", dir=PLACE))
    try:
        (folder / ".perdure").mkdir(mode=0o700)
        # Nobody but the processes of a measurement executes anything.
        told = 'modules = ["bench.workload"]\n[worker]\nautostart = false\n'
        (folder / "perdure.toml").write_text(told, encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The environment of a process that works in a project; `settings`: durability="process"."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    known = [os.path.abspath(part) for part in kept.get("PYTHONPATH", "").split(os.pathsep) if part]
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), *known])
    kept["PERDURE_PROJECT"] = str(folder)
    kept.update({f"PERDURE_{name.upper()}": value for name, value in settings.items()})
    return kept


def call(what: str, folder: Path, **arguments: Any) -> Any:
    """Call "bench.module:function" in a fresh process, and return what it returned (as JSON).

    Args:
        what: The function; it gets `arguments`.
        folder: The project in which the process works.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.child", what, json.dumps(arguments)],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{what} failed with exit code {done.returncode}; see above")
    return json.loads(done.stdout)
