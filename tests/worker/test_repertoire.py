"""What a worker can execute: the names that are declared in its process."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import function
from perdure.core.errors import DiscoveryError
from perdure.project.discovery import load_module
from perdure.worker.repertoire import Repertoire


def test_names_are_gathered_anew_only_when_some_came_or_went(tmp_path: Path) -> None:
    """Also after a module was forgotten that failed half-way: every claim asks for them."""
    repertoire = Repertoire(None)
    (tmp_path / "half_repertoire.py").write_text(
        "from perdure import function\n\n@function\ndef half_repertoire() -> None: ...\n\n1 / 0\n"
    )
    with pytest.raises(DiscoveryError):
        load_module("half_repertoire", tmp_path)
    names = repertoire.names()
    assert repertoire.names() is names

    @function(name="repertoire_latecomer")
    async def latecomer() -> None: ...

    assert ("repertoire_latecomer", "") not in names
    assert ("repertoire_latecomer", "") in repertoire.names()
    assert ("half_repertoire", "") not in repertoire.names()
