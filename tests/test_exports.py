"""What `perdure` exports: all that users need, by a first use, and nothing before it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import perdure

NAMES = sorted(set(perdure.__all__) - {"__version__"})


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter imports for a statement."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_an_import_of_the_package_brings_in_nothing() -> None:
    """No module of ours but the package itself, and nothing heavy of others."""
    loaded = loaded_by("import perdure")
    assert {name for name in loaded if name.startswith("perdure")} == {
        "perdure",
        "perdure._version",
    }
    assert not {"asyncio", "dataclasses", "datetime", "msgspec", "sqlite3"} & loaded


def test_an_error_brings_in_the_errors_alone() -> None:
    """Who only catches needs no engine."""
    loaded = loaded_by("from perdure import KeyConflict, NotInWorkflow, RunNotFound")
    ours = {name for name in loaded if name.startswith("perdure.")}
    assert ours == {"perdure._version", "perdure.core", "perdure.core.errors"}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(name: str) -> None:
    """What `__all__` lists can be used, and says what it is."""
    assert inspect.getdoc(getattr(perdure, name))
    assert name in dir(perdure)


def test_type_checkers_see_the_same_names() -> None:
    """The imports that only type checkers see are those that a first use makes."""
    tree = ast.parse(Path(perdure.__file__).read_text(encoding="utf-8"))
    [seen] = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.name: node.module
        for node in seen.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == perdure._HOMES
    assert sorted(told) == NAMES


def raised() -> Iterator[tuple[str, str]]:
    """(public name, error) for every error that the docstring of a public name says is raised."""
    for name in NAMES:
        public = getattr(perdure, name)
        members = (
            [getattr(public, each) for each in vars(public)] if inspect.isclass(public) else []
        )
        for documented in (public, *members):
            text = inspect.getdoc(documented) or ""
            _, found, raises = text.partition("Raises:\n")
            if found and getattr(documented, "__module__", "").startswith("perdure"):
                for line in re.findall(r"^    (\w[\w, ]*):", raises, re.MULTILINE):
                    yield from ((name, error) for error in line.split(", "))


@pytest.mark.parametrize(("name", "error"), sorted(set(raised())))
def test_an_error_that_users_have_to_catch_is_exported(name: str, error: str) -> None:
    """Whatever a public name says that it raises is public, or Python's own."""
    builtin = getattr(__import__("builtins"), error, None)
    assert builtin is not None or error in perdure.__all__
