"""The core stays light and pure: what its small modules may not bring in."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["run", "duration", "ids", "errors", "retry"])
def test_small_modules_bring_in_nothing_heavy(module: str) -> None:
    """What start-up paths import costs neither msgspec nor asyncio."""
    code = f"import sys, perdure.core.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"msgspec", "asyncio", "random", "typing_extensions"} & set(done.stdout.split())


def test_the_core_is_pure() -> None:
    """No clock, no random, no asyncio, and nothing of Perdure above, even for contracts."""
    code = "import sys, perdure.core.contract, perdure.core.schema, perdure.core.decide; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"random", "asyncio", "sqlite3", "socket", "pydantic", "pickle"} & loaded
    ours = {name for name in loaded if name.startswith("perdure.")}
    assert all(name.startswith(("perdure.core", "perdure._version")) for name in ours)
