"""`perdure init`: a folder becomes a project, and what it says to do next works."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from perdure.cli.templates import perdure_toml
from perdure.project.folder import Project
from perdure.project.settings import load

from .conftest import Perdure


@pytest.fixture
def outside(tmp_path: Path) -> Perdure:
    """The command line where no project is around."""
    one = Perdure(tmp_path)
    del one.env["PERDURE_PROJECT"]
    return one


def test_the_example_runs_as_it_says(outside: Perdure) -> None:
    """`init --example` prints next steps, and they work word for word."""
    done = outside("init", "new", "--example")
    assert done.returncode == 0
    assert "cd new" in done.stdout and "perdure run app:greet --arg you" in done.stdout
    inside = Perdure(outside.root / "new")
    del inside.env["PERDURE_PROJECT"]
    try:
        ran = inside("run", "app:greet", "--arg", "you")
        assert (ran.stdout, ran.stderr) == ('{"text":"Hello, you!","letters":11}\n', "")
    finally:
        inside.end()


def test_what_is_there_stays(outside: Perdure) -> None:
    """A second `init` changes nothing, and says so."""
    outside("init", ".")
    (outside.root / "perdure.toml").write_text('namespace = "mine"\n')
    done = outside("init", ".")
    assert done.returncode == 0
    assert "kept perdure.toml" in done.stdout
    assert (outside.root / "perdure.toml").read_text() == 'namespace = "mine"\n'


def test_settings_in_pyproject_are_not_doubled(outside: Perdure) -> None:
    """Where pyproject.toml has a [tool.perdure], no perdure.toml is written beside it."""
    (outside.root / "pyproject.toml").write_text('[tool.perdure]\nnamespace = "mine"\n')
    assert outside("init").returncode == 0
    assert not (outside.root / "perdure.toml").exists()
    assert outside("list").returncode == 0


@pytest.mark.parametrize("modules", [[], ["app", "shop.orders"]])
def test_the_template_can_be_read(modules: list[str], tmp_path: Path) -> None:
    """The perdure.toml that is written is valid, and says nothing but the defaults."""
    text = perdure_toml(modules)
    assert tomllib.loads(text).get("modules", []) == modules
    (tmp_path / "perdure.toml").write_text(text.replace("# ", "").split("[worker]")[1] and text)
    assert load(Project(tmp_path), environ={}).modules == tuple(modules)


def test_the_commented_lines_of_the_template_are_settings(tmp_path: Path) -> None:
    """Taking out a `# ` before a setting gives a file that is accepted."""
    lines = []
    for line in perdure_toml(["app"]).splitlines():
        bare = line.removeprefix("# ")
        is_setting = bare != line and bare.split(" = ")[0].isidentifier() and " = " in bare
        lines.append(bare if is_setting else line)
    (tmp_path / "perdure.toml").write_text("\n".join(lines))
    settings = load(Project(tmp_path), environ={})
    assert settings.worker.idle_exit == 600_000_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(outside: Perdure) -> None:
    """Where nothing can be written, the sentence names the folder and the mend."""
    outside.root.chmod(0o555)
    done = outside("init")
    assert done.returncode == 1
    assert str(outside.root) in done.stderr and "writable" in done.stderr


def test_a_file_in_the_way(outside: Perdure) -> None:
    """A file where the folder `.perdure` should be is named."""
    (outside.root / ".perdure").write_text("")
    done = outside("init")
    assert done.returncode == 1
    assert ".perdure is a file" in done.stderr


def test_two_projects_nested(outside: Perdure) -> None:
    """A project inside a project is said to be its own."""
    outside("init")
    done = outside("init", "inner")
    assert done.returncode == 0
    assert "lies inside the project" in done.stderr
