"""What a command talks to: the project around the current folder, its settings, its store.

This is for commands that only look, or leave a letter: they make no project, and import neither
the client nor anything that executes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from perdure.core.errors import SettingsError
from perdure.project.folder import Project, find, refuse_taken
from perdure.project.settings import Settings, load

if TYPE_CHECKING:
    from perdure.client.connection import Connection
    from perdure.store import Store


class NoProject(SettingsError):
    """There is no project here, so there is nothing to look at."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A project that was opened for looking; a context manager."""

    project: Project
    settings: Settings
    store: Store

    def connection(self) -> Connection:
        """The same project for the client: its handles can wait, follow and cancel."""
        from perdure.client.connection import Connection

        return Connection(self.project, self.settings)

    def resume(self) -> None:
        """Start the project's background worker if runs are left that nobody goes on with, as after
        a reboot; for commands that only look, once they have printed."""
        from perdure.client.serving import ensure_resumed

        ensure_resumed(self.project, self.settings, self.store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.store.close()


def open_project() -> Opened:
    """Open the project around the current folder; none is made.

    Raises:
        NoProject: There is none.
        StoreUnusable: There is none, and a file has the name of its folder.
        SettingsError: Its settings cannot be used.
        StoreError: Its store cannot be opened.
    """
    from perdure.stores import open_store

    project, settings = settings_here()
    store = open_store(
        settings.store, durability="process" if settings.durability == "process" else "full"
    )
    return Opened(project, settings, store)


def settings_here() -> tuple[Project, Settings]:
    """The project around the current folder, and its settings."""
    project = find()
    if project is None:
        refuse_taken()
        raise NoProject(
            f"there is no project in {Path.cwd()} or above it; `perdure init` makes one, and so "
            "does the first `perdure run`"
        )
    settings = load(project)
    refuse_memory(settings)
    return project, settings


def refuse_memory(settings: Settings) -> None:
    """A store in the memory of one process is of no use to a command, which is a process of its own.

    Raises:
        SettingsError: The setting `store` says "memory:".
    """
    if settings.store.startswith("memory:"):
        raise SettingsError(
            'store = "memory:" holds runs in the memory of one program, where no command can see '
            "them; name a file or a database, or leave the setting out"
        )
