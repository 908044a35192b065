"""Every test of this folder runs twice: as in production, and with every turn from the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.client.connection import forget
from perdure.client.host import Host
from perdure.project.folder import init
from perdure.testing.hosting import open_replaying

Open = Callable[..., Host]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of its own for this test; the current folder is in it."""
    init(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERDURE_PROJECT", str(tmp_path))
    yield tmp_path
    forget()


@pytest.fixture(params=["live", "always_replay"])
def open_host(request: pytest.FixtureRequest, project: Path) -> Open:
    """Opens a host of the project, in one of the two modes."""

    def open_host(**settings: Any) -> Host:
        if request.param == "live":
            return perdure.open(**settings)
        return open_replaying(**settings)

    return open_host


@pytest.fixture
def host(open_host: Open) -> Iterator[Host]:
    """An open host: what is started runs in this process, on a thread of its own."""
    with open_host() as host:
        yield host
