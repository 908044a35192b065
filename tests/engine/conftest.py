"""A project of its own for each test, and runs that nobody holds yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.client.connection import forget
from perdure.project.folder import init


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of its own for this test; the current folder is in it."""
    init(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERDURE_PROJECT", str(tmp_path))
    yield tmp_path
    forget()
