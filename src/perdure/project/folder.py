"""A project is a folder with `.perdure/` in it, found upward like `.git`.

Rules of this file:

1. The nearest `.perdure/` wins; a project inside another one is a project of its own.
2. A search never climbs into a place that many projects share: the home folder, the root of the
   file system, or a folder such as /tmp in which everybody may create files (a stranger's project
   there would choose the code that we import). Such a folder is a project only for somebody who
   stands in it.
3. `PERDURE_PROJECT` names the project outright. A caller that names a starting folder has chosen
   already, so the variable counts only where no start is given.
4. A project is made beside the nearest `perdure.toml`, `pyproject.toml` or `.git`, else where the
   user stands, and this is said on stderr: a folder never appears silently.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from perdure.core.errors import SettingsError, StoreUnusable

FOLDER = ".perdure"
VARIABLE = "PERDURE_PROJECT"
_MARKERS = ("perdure.toml", "pyproject.toml", ".git")


@dataclass(frozen=True, slots=True)
class Project:
    """A folder whose runs share one store.

    Attributes:
        root: The folder that holds `.perdure/`; absolute, without symbolic links.
    """

    root: Path

    @property
    def home(self) -> Path:
        """What Perdure keeps for the project."""
        return self.root / FOLDER

    @property
    def database(self) -> Path:
        """The SQLite store, unless the settings name another one."""
        return self.home / "perdure.db"

    def worker_lock(self, namespace: str = "default") -> Path:
        """Locked by the background worker of a namespace as long as it lives."""
        if namespace == "default":
            return self.home / "worker.lock"
        # A namespace may be called anything; a file may not.
        return self.home / f"worker-{namespace.encode().hex()}.lock"

    def stop_mark(self, namespace: str = "default") -> Path:
        """There while the background worker of a namespace was stopped by a person: then a command
        that only looks does not start it again."""
        return self.worker_lock(namespace).with_suffix(".stopped")

    @property
    def logs(self) -> Path:
        """The folder of log files; made by whoever writes the first one."""
        return self.home / "logs"

    @property
    def exists(self) -> bool:
        """Whether its `.perdure/` is there."""
        return os.path.isdir(self.home)


def find(start: Path | None = None) -> Project | None:
    """Find the project of a folder, without making one.

    Args:
        start: Where to begin; None: the project that `PERDURE_PROJECT` names, else the current
            folder and upward.

    Returns:
        The project, or None.

    Raises:
        SettingsError: `PERDURE_PROJECT` names something that is not a folder.
    """
    if start is None and (named := _named()) is not None:
        return named if named.exists else None
    for folder in _upward(_absolute(start)):
        if (project := Project(folder)).exists:
            return project
    return None


def find_or_create(start: Path | None = None, *, announce: bool = True) -> Project:
    """Find the project of a folder, or make one.

    Args:
        start: As for `find`.
        announce: Say on stderr when a project is made.

    Raises:
        SettingsError: `PERDURE_PROJECT` names something that is not a folder.
        StoreUnusable: The project cannot be made here (a read-only folder, a full disk).
    """
    found = find(start)
    if found is not None:
        return found
    project = _would_be(start)
    _create(project)
    if announce:
        _say(f"made a project in {project.root} (its data is in {FOLDER}/)")
    return project


def refuse_taken(start: Path | None = None) -> None:
    """Where there is no project: refuse a file in the place of its folder.

    Args:
        start: As for `find`.

    Raises:
        SettingsError: `PERDURE_PROJECT` names something that is not a folder.
        StoreUnusable: A file is in the way, and none can be made.
    """
    home = _would_be(start).home
    if os.path.lexists(home) and not os.path.isdir(home):
        raise _taken(home)


def init(folder: Path, *, announce: bool = True) -> Project:
    """Make this very folder a project; one that is a project already stays as it is.

    Args:
        folder: The project's root; it must exist.
        announce: Warn on stderr when the new project lies inside another one.

    Raises:
        SettingsError: There is no such folder.
        StoreUnusable: The project cannot be made here.
    """
    root = _absolute(folder)
    if not root.is_dir():
        raise SettingsError(f"{root} is not a folder; create it first, or name another one")
    project = Project(root)
    if project.exists:
        return project
    around = find(root)
    _create(project)
    if around is not None and announce:
        _say(
            f"{root} lies inside the project {around.root}; from now on commands here use the new "
            f"project and do not see the runs of the other one"
        )
    return project


def _named() -> Project | None:
    """The project that the environment names."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    root = Path(text).expanduser()
    if not root.is_dir():
        raise SettingsError(
            f"{VARIABLE}={text!r} is not a folder; let it name the root of a project, or unset it"
        )
    return Project(root.resolve())


def _absolute(start: Path | None) -> Path:
    try:
        return (Path.cwd() if start is None else start.expanduser()).resolve()
    except FileNotFoundError:
        raise SettingsError("the current folder was deleted; change to one that exists") from None


def _upward(start: Path) -> Iterator[Path]:
    """The folder itself, then its parents, up to the first place that many projects share."""
    yield start
    home = _home()
    for parent in start.parents:
        if parent == home or parent == parent.parent or _is_everybodys(parent):
            return
        yield parent


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):  # no HOME and no passwd entry, as in some containers
        return None


def _is_everybodys(folder: Path) -> bool:
    """Whether everybody may create files there. The sticky bit is what tells /tmp from a disk
    that is mounted with all permissions, as on Windows or in a container."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH) and bool(mode & stat.S_ISVTX)


def _fitting(start: Path) -> Path:
    """Where a new project belongs that is first used in this folder."""
    for folder in _upward(start):
        if any(os.path.exists(folder / marker) for marker in _MARKERS):
            return folder
    return start


def _would_be(start: Path | None) -> Project:
    """The project that is made where there is none."""
    named = _named() if start is None else None
    return named or Project(_fitting(_absolute(start)))


def _create(project: Project) -> None:
    home = project.home
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        # The data of runs belongs into no repository; the folder says so itself.
        (home / ".gitignore").write_text("*\n", encoding="utf-8")
    except FileExistsError:
        raise _taken(home) from None
    except OSError as error:
        with contextlib.suppress(OSError):
            # Half a project would be taken for one; a folder that holds something stays.
            (home / ".gitignore").unlink(missing_ok=True)
            home.rmdir()
        raise StoreUnusable(
            f"cannot make a project in {project.root}: {_why_not(error)}, or let {VARIABLE} name a "
            "folder elsewhere"
        ) from None


def _taken(home: Path) -> StoreUnusable:
    return StoreUnusable(
        f"{home} is a file and a project needs a folder of that name; move the file away"
    )


def _why_not(error: OSError) -> str:
    """Why nothing can be written there, and what to do."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full; make room"
        case errno.EROFS:
            return "the file system is read-only; mount it writable"
        case _:
            return f"{error.strerror or error}; make the folder writable"


def _say(sentence: str) -> None:
    print(f"perdure: {sentence}", file=sys.stderr)  # noqa: T201  # for people, not for a log
