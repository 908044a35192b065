"""Hosts for tests: the same as `perdure.open`, made strict."""

from __future__ import annotations

import os
from pathlib import Path

from perdure.client.connection import connect
from perdure.client.host import Host, check_for_hosts, find_or_create_at
from perdure.project.folder import Project


def open_replaying(
    *, project: Project | str | os.PathLike[str] | None = None, **settings: object
) -> Host:
    """Host a worker that forgets every run after each of its turns and starts from its journal.

    ``with open_replaying():`` instead of ``with perdure.open():`` shows whether workflows survive
    a crash at any point: a body that is not deterministic ends up stuck, with both sides named.
    It is slow: n turns replay n journals.

    Args:
        project: A project's folder; by default the one around the current folder.
        settings: Any setting of perdure.toml, for this host.

    Raises:
        SettingsError: A setting is unknown or has a bad value.
        StoreError: The store cannot be used.
    """
    if project is not None and not isinstance(project, Project):
        project = find_or_create_at(Path(project))
    check_for_hosts(settings)
    connection = connect(project, **settings)
    return Host(connection, owns_connection=bool(settings), always_replay=True)
