"""What the documentation says is so: examples run, links lead somewhere, commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Example:
    """A block of Python on a page."""

    page: Path
    line: int
    text: str

    @property
    def name(self) -> str:
        """The file that its first line names (`# app.py`), so that later blocks can import it."""
        named = re.match(r"# (\w+\.py)\n", self.text)
        return named[1] if named else f"example_{self.line}.py"


def _blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        if fence["info"].strip() == language:
            yield text.count("\n", 0, fence.start("text")) + 1, fence["text"]


def _examples() -> dict[Path, list[Example]]:
    found = {
        page: [Example(page, line, text) for line, text in _blocks(page, "python")]
        for page in PAGES
    }
    return {page: examples for page, examples in found.items() if examples}


def _short(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _run(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a project of its own, with no settings of whoever runs the tests."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PERDURE_")}
    environ["PERDURE_PROJECT"] = str(folder)
    environ["PYTHONPATH"] = str(ROOT / "src")  # this clone, whatever else is installed
    return subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


EXAMPLES = _examples()


def test_the_front_page_has_an_example_that_is_short() -> None:
    """The first thing that a reader sees is code, and it fits a glance."""
    example = EXAMPLES[ROOT / "README.md"][0]
    code = [line for line in example.text.splitlines() if line.strip()]
    assert len(code) <= 16


@pytest.mark.parametrize("page", list(EXAMPLES), ids=_short)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """Every block of Python runs as a script, in order, in one new project per page."""
    for example in EXAMPLES[page]:
        (tmp_path / example.name).write_text(example.text, encoding="utf-8")
        done = _run([example.name], tmp_path)
        assert done.returncode == 0, f"{_short(page)}:{example.line}\n{done.stdout}{done.stderr}"


def test_the_front_page_prints_what_it_says(tmp_path: Path) -> None:
    """The example's result, and the same one again from the journal."""
    example = EXAMPLES[ROOT / "README.md"][0]
    (tmp_path / example.name).write_text(example.text, encoding="utf-8")
    first, second = (_run([example.name], tmp_path) for _ in range(2))
    assert first.stdout == "shipped order-42, paid 19.99 for order-42\n", first.stderr
    assert second.stdout == first.stdout


@pytest.mark.parametrize("page", PAGES, ids=_short)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Files exist; what follows a # is a heading of the page that is meant."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in _LINK.finditer(prose):
        target = link["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        meant = (page.parent / path).resolve() if path else page
        assert meant.exists(), f"{_short(page)} links to {target}"
        if heading:
            assert heading in _headings(meant), f"{_short(page)} links to {target}"


def _headings(page: Path) -> set[str]:
    """The anchors of a page, made from its headings as GitHub does it."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _told_commands() -> list[tuple[str, str]]:
    """(page, command) for every `$ perdure COMMAND` in a console block."""
    found: set[tuple[str, str]] = set()
    for page in PAGES:
        for _, text in _blocks(page, "console"):
            for line in re.findall(r"^\$ perdure ([a-z][a-z ]*)", text, re.MULTILINE):
                found.add((_short(page), line.split()[0]))
    return sorted(found)


@pytest.mark.parametrize(("page", "command"), _told_commands())
def test_a_command_that_a_page_shows_exists(page: str, command: str, tmp_path: Path) -> None:
    """Its help can be asked for."""
    done = _run(["-m", "perdure", command, "--help"], tmp_path)
    assert done.returncode == 0, f"{page} shows perdure {command}: {done.stderr}"


def test_the_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    """Whoever changes a setting writes its page again."""
    done = _run([str(ROOT / "docs" / "generate.py"), "--check"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_targets_of_make_that_pages_name_exist() -> None:
    """And the list that `make help` prints has those that everybody needs."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"(?:`|\$ )make ([a-z-]+)", text):
            assert name in targets, f"{_short(page)} names make {name}"
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in ("demo", "test", "check", "bench", "clean"):
        assert f"make {name} " in listed.stdout
