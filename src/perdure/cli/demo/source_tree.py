"""Read a tree of Python files, one durable step per file, and write a report about it.

    perdure run source_tree.py:survey --arg /usr/lib/python3.11 --arg out
    perdure demo                   # the same, killed in the middle and finished

Every file is parsed in a step of its own, at most eight at a time. What a step returned is in the
journal before the workflow sees it; so when the worker dies, even by `kill -9`, the next one goes
on with the files that are missing, and no file that was done is parsed again.

To make that visible, each step appends a line to `executions.log` in the output folder before it
works. That is a side effect, outside the journal: it tells what was really executed.
"""

from __future__ import annotations

import ast
import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from perdure import Context, function, workflow

AT_ONCE = 8


@dataclass
class Source:
    """What is known of one file."""

    module: str
    lines: int
    functions: int
    classes: int
    longest: list[tuple[int, str]]
    imports: list[str]
    problem: str = ""


@dataclass
class Report:
    """What is known of all files together."""

    files: int
    lines: int
    functions: int
    classes: int
    unreadable: int
    longest: list[tuple[int, str]]
    hubs: list[tuple[int, str]]
    written_to: str


@workflow
async def survey(folder: str, output: str) -> Report:
    """Read all Python files under `folder`; write `report.txt` into the folder `output`."""
    paths = await find_sources.step(folder, output)
    gate = asyncio.Semaphore(AT_ONCE)

    async def read(path: str) -> Source:
        async with gate:
            return await read_source.step(folder, path, output)

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read(path)) for path in paths]
    return await write_report.step([reader.result() for reader in readers], output)


@function
def find_sources(folder: str, output: str) -> list[str]:
    """The paths of all Python files under a folder, in order; installed packages are left out."""
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder} is not a folder; name one with Python files in it")
    os.makedirs(output, exist_ok=True)
    found: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__", "site-packages", "dist-packages"})
        found += [os.path.relpath(os.path.join(parent, name), folder) for name in files]
    return sorted(path for path in found if path.endswith(".py"))


@function
def read_source(context: Context, folder: str, path: str, output: str) -> Source:
    """Parse one file."""
    with open(os.path.join(output, "executions.log"), "a", encoding="utf-8") as log:
        log.write(f"{context.step} {path}\n")
    module = path.removesuffix(".py").replace(os.sep, ".").removesuffix(".__init__")
    lines = 0
    try:
        text = Path(folder, path).read_bytes()
        lines = text.count(b"\n")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Source(module, lines, 0, 0, [], [], problem=f"{type(error).__name__}: {error}")
    functions: list[tuple[int, str]] = []
    classes = 0
    imports: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                functions.append((length, f"{module}:{node.name}"))
            case ast.ClassDef():
                classes += 1
            case ast.Import():
                imports.update(alias.name for alias in node.names)
            case ast.ImportFrom(module=str(name), level=0):
                imports.add(name)
            case _:
                pass
    longest = sorted(functions, reverse=True)[:3]
    return Source(module, lines, len(functions), classes, longest, sorted(imports))


@function
def write_report(sources: list[Source], output: str) -> Report:
    """Put together what all files say, and write it down."""
    hubs = Counter(name for source in sources for name in set(source.imports))
    path = os.path.join(output, "report.txt")
    report = Report(
        files=len(sources),
        lines=sum(source.lines for source in sources),
        functions=sum(source.functions for source in sources),
        classes=sum(source.classes for source in sources),
        unreadable=sum(1 for source in sources if source.problem),
        longest=sorted((one for source in sources for one in source.longest), reverse=True)[:5],
        hubs=sorted(((count, name) for name, count in hubs.items()), reverse=True)[:5],
        written_to=path,
    )
    text = (
        f"{report.files} files, {report.lines} lines, {report.functions} functions, "
        f"{report.classes} classes; {report.unreadable} files cannot be read\n\n"
        "The longest functions (lines):\n"
        + "".join(f"{length:>7}  {name}\n" for length, name in report.longest)
        + "\nImported by the most files:\n"
        + "".join(f"{count:>7}  {name}\n" for count, name in report.hubs)
        + "\nFiles that cannot be read:\n"
        + "".join(f"         {one.module}: {one.problem}\n" for one in sources if one.problem)
    )
    # Written aside and renamed: a report is there as a whole or not at all.
    Path(f"{path}.new").write_text(text, encoding="utf-8")
    os.replace(f"{path}.new", path)
    return report
