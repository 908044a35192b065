"""How modules and scripts are found and loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import perdure.client.start  # noqa: F401 - what a test imports first is forgotten after it
from perdure.author import registry
from perdure.core.errors import DiscoveryError
from perdure.project.discovery import load_module, resolve, source_of

pytestmark = pytest.mark.usefixtures("fresh_imports")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def attribute(module: ModuleType, name: str) -> object:
    return getattr(module, name)


@pytest.mark.parametrize("place", [".", "src"])
def test_a_module_of_the_project_is_found_by_name(folder: Path, place: str) -> None:
    """At the root of the project or in its src folder; the path is extended once."""
    write(folder / place / "shop_a" / "__init__.py", "")
    write(folder / place / "shop_a" / "orders.py", "answer = 42")
    assert attribute(load_module("shop_a.orders", folder), "answer") == 42
    path = list(sys.path)
    load_module("shop_a.orders", folder)
    assert sys.path == path


def test_a_file_is_executed_once_and_not_as_main(folder: Path) -> None:
    """The part of a script under `if __name__ == "__main__"` does not run."""
    elsewhere = folder / "elsewhere"
    log = folder / "log"
    file = write(
        elsewhere / "script_b.py",
        f"import neighbour_b\nwith open({str(log)!r}, 'a') as log:\n    log.write('x')\n"
        "if __name__ == '__main__':\n    raise SystemExit('must not run')\n",
    )
    write(elsewhere / "neighbour_b.py", "")
    first = load_module(f"file:{file}", folder)
    assert load_module(f"file:{file}", folder) is first
    assert log.read_text() == "x"
    assert first.__name__.startswith("_perdure_file_script_b_")
    assert sys.modules[first.__name__] is first


def test_a_file_that_has_a_name_in_the_project_is_loaded_by_it(folder: Path) -> None:
    """However a module of the project is named, there is one copy of it."""
    write(folder / "pack_c" / "__init__.py", "")
    file = write(folder / "pack_c" / "jobs.py", "from . import other")
    write(folder / "pack_c" / "other.py", "")
    by_file = load_module(f"file:{file}", folder)
    assert by_file.__name__ == "pack_c.jobs"
    assert load_module("pack_c/jobs.py", folder) is by_file
    assert load_module("pack_c.jobs", folder) is by_file


def test_a_file_that_shares_its_name_with_a_library_is_itself(folder: Path) -> None:
    """A script called json.py is not the json of the standard library."""
    import json

    file = write(folder / "json.py", "mine = True")
    assert attribute(load_module(f"file:{file}", folder), "mine") is True
    assert sys.modules["json"] is json


def test_a_missing_module_names_the_nearest_one(folder: Path) -> None:
    """The message says where was looked."""
    write(folder / "orders_d.py", "")
    with pytest.raises(DiscoveryError, match=r"cannot find module order_d; .*mean orders_d\?"):
        load_module("order_d", folder)
    write(folder / "pack_d" / "__init__.py", "")
    write(folder / "pack_d" / "jobs.py", "")
    with pytest.raises(DiscoveryError, match=r"did you mean pack_d\.jobs\?"):
        load_module("pack_d.job", folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    """A script that moved since its run was started."""
    with pytest.raises(DiscoveryError, match=r"there is no file .*gone\.py"):
        load_module(f"file:{folder}/gone.py", folder)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x = 1\n1 / 0\n", ["ZeroDivisionError: division by zero", "line 2"]),
        ("import nonesuch_e.sub\n", ["No module named 'nonesuch_e'", "install nonesuch_e for"]),
        ("def f(:\n", ["SyntaxError", "line 1"]),
        ("import sys\nsys.exit(3)\n", ["SystemExit: 3", "line 2", "__main__"]),
        ("from os import nonesuch\n", ["ImportError: cannot import name 'nonesuch'", "line 1"]),
    ],
)
@pytest.mark.parametrize("by_file", [False, True])
def test_a_module_that_fails_says_where_and_can_be_mended(
    folder: Path, text: str, parts: list[str], by_file: bool
) -> None:
    """The last line of the traceback, file and line; once mended, it loads."""
    file = write(folder / ("elsewhere" if by_file else ".") / "broken_e.py", text)
    source = f"file:{file}" if by_file else "broken_e"
    with pytest.raises(DiscoveryError) as caught:
        load_module(source, folder)
    for part in [*parts, "broken_e.py"]:
        assert part in str(caught.value)
    write(file, "mended = True  # and longer than before, whatever the clock of the disk says")
    assert attribute(load_module(source, folder), "mended") is True


def test_what_is_not_a_name_of_a_module_is_refused(folder: Path) -> None:
    """A path without its ending gets a hint."""
    with pytest.raises(DiscoveryError, match=r"jobs/daily\.py"):
        load_module("jobs/daily", folder)
    with pytest.raises(DiscoveryError, match="not the name of a module"):
        load_module("", folder)


def test_resolve_finds_by_module_and_by_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MODULE:NAME, also inside a class, and FILE.py:NAME beginning here."""
    write(folder / "flows_f.py", "class Box:\n    size = 3\ndef fulfil(): return 'done'\n")
    monkeypatch.chdir(folder)
    assert resolve("flows_f:Box.size") == 3
    fulfil = resolve("flows_f.py:fulfil")
    assert resolve("./flows_f.py:fulfil") is fulfil
    assert resolve("flows_f:fulfil", folder) is fulfil


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flows_g:fulfill", r"no fulfill in .*flows_g\.py; did you mean fulfil\?"),
        ("flows_g:qqq", r"it has charge, fulfil"),
        ("flows_g:fulfil.x", r"there is no x in"),
        ("empty_g:x", r"nothing is defined in it"),
        ("fulfil", r"'fulfil' names no function; write MODULE:NAME"),
        (":fulfil", r"names no function"),
        ("flows_g:", r"names no function"),
    ],
)
def test_resolve_says_what_would_be_right(folder: Path, text: str, message: str) -> None:
    """Near names, or all of them if there is nothing near."""
    write(folder / "flows_g.py", "def fulfil(): ...\ndef charge(): ...\n")
    write(folder / "empty_g.py", "")
    with pytest.raises(DiscoveryError, match=message):
        resolve(text, folder)


def test_the_source_of_a_function_leads_back_to_it(folder: Path) -> None:
    """A module by its name; a file from elsewhere by its path; nothing for the builtin and lost."""
    write(folder / "named_h.py", "def f(): ...")
    file = write(folder / "elsewhere" / "script_h.py", "def f(): ...")
    by_name = attribute(load_module("named_h", folder), "f")
    by_file = attribute(load_module(f"file:{file}", folder), "f")
    assert source_of(by_name) == "named_h"
    assert source_of(by_file) == f"file:{file}"
    assert load_module(source_of(by_file), folder) is sys.modules[by_file.__module__]
    del sys.modules["named_h"]
    assert source_of(by_name) == ""
    assert source_of(42) == ""


def run_script(*argv: str, cwd: Path) -> list[str]:
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=cwd,
        env={"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_script_is_known_by_its_file_and_its_neighbours_too(folder: Path) -> None:
    """What runs as main is stored by path, and is handed out as it is, not executed again."""
    script = write(
        folder / "tools" / "script_i.py",
        "from pathlib import Path\n"
        "from perdure.project.discovery import load_module, source_of\n"
        "import beside_i\n"
        "def f(): ...\n"
        "root = Path(__file__).parents[1]\n"
        "print(source_of(f, root))\n"
        "print(source_of(beside_i.f, root))\n"
        "print(load_module(source_of(f), root).f is f)\n",
    )
    beside = write(folder / "tools" / "beside_i.py", "def f(): ...")
    assert run_script(str(script), cwd=folder) == [f"file:{script}", f"file:{beside}", "True"]


def test_a_module_run_with_m_keeps_its_name(folder: Path) -> None:
    """`python -m package.module` is importable by that name, and is not imported beside itself."""
    write(folder / "pack_j" / "__init__.py", "")
    write(
        folder / "pack_j" / "jobs.py",
        "from pathlib import Path\n"
        "from perdure.project.discovery import load_module, source_of\n"
        "def f(): ...\n"
        "print(source_of(f))\n"
        "print(load_module(source_of(f), Path.cwd()).f is f)\n",
    )
    assert run_script("-m", "pack_j.jobs", cwd=folder) == ["pack_j.jobs", "True"]


def test_an_interactive_session_has_no_source(folder: Path) -> None:
    """Nothing could import it."""
    code = (
        "from perdure.project.discovery import source_of\ndef f(): ...\nprint(repr(source_of(f)))"
    )
    assert run_script("-c", code, cwd=folder) == ["''"]


def test_a_module_that_fails_declares_nothing(folder: Path) -> None:
    """Half a module is no code to execute: what it declared before it failed is forgotten."""
    (folder / "half_d.py").write_text(
        "from perdure import function\n\n@function\ndef half_declared() -> None: ...\n\n1 / 0\n"
    )
    seen = registry.changes()
    with pytest.raises(DiscoveryError, match="ZeroDivisionError"):
        load_module("half_d", folder)
    assert registry.find("half_declared") is None
    assert registry.latest("half_declared") is None
    assert registry.changes() != seen


@pytest.mark.parametrize(
    "line",
    ["with perdure.open(): pass", "perdure.run(declared_d)", "perdure.start(declared_d)"],
)
def test_a_module_that_is_looked_into_starts_nothing(folder: Path, line: str) -> None:
    """Whoever looks for the code of a run would start another one; the sentence names the line."""
    (folder / "starts_d.py").write_text(
        "import perdure\n\n@perdure.function\ndef declared_d() -> None: ...\n\n" + line + "\n"
    )
    with pytest.raises(DiscoveryError, match=r"under `if __name__ == .*starts_d\.py, line 6\)$"):
        load_module("starts_d", folder)


def test_a_module_may_make_the_host_that_its_application_enters(folder: Path) -> None:
    """As web applications do: nothing is started by that."""
    (folder / "makes_d.py").write_text("import perdure\n\nhost = perdure.open(store='memory:')\n")
    assert attribute(load_module("makes_d", folder), "host")


def test_a_program_that_stands_in_no_file_has_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -` calls its file "<stdin>", which is none."""
    main = ModuleType("__main__")
    main.__file__ = "<stdin>"
    monkeypatch.setitem(sys.modules, "__main__", main)

    def fn() -> None: ...

    fn.__module__ = "__main__"
    assert source_of(fn) == ""
