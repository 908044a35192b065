"""How a project is found, and how it is made."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from perdure.core.errors import SettingsError, StoreUnusable
from perdure.project.folder import Project, find, find_or_create, init


def test_the_nearest_project_upward_wins(folder: Path) -> None:
    """From deep inside, the search finds the inner of two nested projects."""
    inner = folder / "inner"
    deep = inner / "a" / "b"
    deep.mkdir(parents=True)
    init(folder, announce=False)
    init(inner, announce=False)
    assert find(deep) == Project(inner)
    assert find(folder) == Project(folder)


def test_without_a_project_nothing_is_found_and_nothing_is_made(folder: Path) -> None:
    """Looking leaves no traces."""
    assert find(folder) is None
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("marker", ["pyproject.toml", "perdure.toml", ".git"])
def test_a_project_is_made_beside_the_nearest_marker(folder: Path, marker: str) -> None:
    """The first use in a subfolder makes the project where the source tree begins."""
    (folder / marker).touch()
    deep = folder / "a" / "b"
    deep.mkdir(parents=True)
    assert find_or_create(deep).root == folder


def test_without_a_marker_a_project_is_made_here(folder: Path) -> None:
    """A bare folder becomes the project itself."""
    assert find_or_create(folder).root == folder


def test_making_a_project_is_said_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first use says where the folder is; the second says nothing; stdout stays clean."""
    find_or_create(folder)
    first = capsys.readouterr()
    assert str(folder) in first.err
    assert first.err.count("\n") == 1
    assert first.out == ""
    find_or_create(folder)
    assert capsys.readouterr().err == ""


def test_the_folder_keeps_itself_private_and_out_of_git(folder: Path) -> None:
    """Data of runs may be secret: mode 0700, ignored by git."""
    home = find_or_create(folder).home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert (home / ".gitignore").read_text() == "*\n"


def test_init_inside_a_project_warns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A nested project is allowed, and its maker learns what that means."""
    init(folder)
    inner = folder / "inner"
    inner.mkdir()
    assert capsys.readouterr().err == ""
    init(inner)
    assert f"lies inside the project {folder}" in capsys.readouterr().err
    init(inner)
    assert capsys.readouterr().err == "", "a project that is there already is left alone"


def test_init_of_a_missing_folder_is_refused(folder: Path) -> None:
    """A typo does not create folders."""
    with pytest.raises(SettingsError, match="is not a folder"):
        init(folder / "typo")


def test_the_variable_names_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PERDURE_PROJECT goes before the search, but not before a start that the caller names."""
    chosen, here = folder / "chosen", folder / "here"
    chosen.mkdir()
    here.mkdir()
    init(here, announce=False)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PERDURE_PROJECT", str(chosen))
    assert find() is None, "it is named, but nobody made it yet"
    assert find_or_create(announce=False) == Project(chosen)
    assert find() == Project(chosen)
    assert find(here) == Project(here)


def test_a_variable_that_names_nothing_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale variable is not silently replaced by a search."""
    monkeypatch.setenv("PERDURE_PROJECT", str(folder / "gone"))
    with pytest.raises(SettingsError, match=r"PERDURE_PROJECT=.*gone"):
        find()


def test_the_search_does_not_climb_into_the_home_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project in the home folder does not swallow everything below it, nor does its .git."""
    monkeypatch.setenv("HOME", str(folder))
    (folder / ".git").mkdir()
    work = folder / "work"
    work.mkdir()
    init(folder, announce=False)
    assert find(work) is None
    assert find_or_create(work, announce=False).root == work
    assert find(folder) == Project(folder), "who stands in it means it"


def test_the_search_does_not_climb_into_a_folder_of_everybody(folder: Path) -> None:
    """A stranger's project in /tmp must not choose the code that we import."""
    work = folder / "work"
    work.mkdir()
    init(folder, announce=False)
    assert find(work) == Project(folder)
    folder.chmod(0o1777)
    assert find(work) is None


def test_a_file_in_the_place_of_the_folder_is_refused(folder: Path) -> None:
    """The message names the file and what to do."""
    (folder / ".perdure").touch()
    with pytest.raises(StoreUnusable, match=r"\.perdure is a file.*move the file away"):
        find_or_create(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(folder: Path) -> None:
    """The message names the folder, the reason and the way out."""
    folder.chmod(0o500)
    try:
        with pytest.raises(StoreUnusable, match=r"cannot make a project in .*: Permission denied"):
            find_or_create(folder)
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system of this kind")
def test_a_file_system_that_takes_no_folders_is_refused() -> None:
    """As above, in a place that refuses even root."""
    with pytest.raises(StoreUnusable, match=r"cannot make a project in /proc/.*PERDURE_PROJECT"):
        init(Path("/proc/self"))
