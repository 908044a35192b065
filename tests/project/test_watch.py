"""How a process notices that its code was changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perdure.project.discovery import load_module
from perdure.project.watch import SourceWatch, fingerprint

pytestmark = pytest.mark.usefixtures("fresh_imports")


def test_a_changed_file_is_reported_until_the_process_ends(folder: Path) -> None:
    """Changed, deleted and late ones; touched or rewritten with the same content is no change."""
    one, two = folder / "one_k.py", folder / "two_k.py"
    one.write_text("x = 1")
    two.write_text("x = 2")
    load_module("one_k", folder)
    watch = SourceWatch(folder)
    assert watch.changed() == []
    load_module("two_k", folder)
    assert watch.changed() == []
    os.utime(one, ns=(1, 1))
    assert watch.changed() == []
    one.write_text("x = 11")
    two.unlink()
    assert sorted(watch.changed()) == [one, two]
    assert sorted(watch.changed()) == [one, two]
    one.write_text("x = 1")
    assert watch.changed() == [two], "what was taken back is the loaded code again"


def test_a_file_from_elsewhere_is_watched_and_a_package_is_not(folder: Path) -> None:
    """Scripts that runs name count as sources; installed libraries do not."""
    root = folder / "root"
    library = root / ".venv" / "site-packages" / "library_l.py"
    script = folder / "script_l.py"
    library.parent.mkdir(parents=True)
    library.write_text("")
    script.write_text("x = 1")
    load_module(f"file:{script}", root)
    load_module(".venv/site-packages/library_l.py", root)
    watch = SourceWatch(root)
    script.write_text("x = 12")
    assert watch.changed() == [script]


def test_the_same_code_has_the_same_fingerprint_everywhere(folder: Path) -> None:
    """It depends on contents, not on folders, names or order."""
    for copy in ("a", "b"):
        for name, text in (("one_m.py", "x = 1"), ("two_m.py", "y = 2")):
            file = folder / copy / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    one_a, two_a, one_b, two_b = (
        load_module(f"file:{folder}/{copy}/{name}.py", folder)
        for copy in ("a", "b")
        for name in ("one_m", "two_m")
    )
    assert fingerprint([one_a, two_a]) == fingerprint([two_b, one_b])
    assert fingerprint([one_a]) != fingerprint([two_a])
    (folder / "b" / "one_m.py").write_text("x = 3")
    assert fingerprint([one_a]) != fingerprint([one_b])
