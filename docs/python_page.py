"""The page of all public names, `docs/reference/python.md`, written from signatures and docstrings.

A docstring is one sentence, paragraphs, and sections (`Args:`, `Attributes:`, `Returns:`,
`Raises:`); lines with `>>>` become an example, which the tests of the pages execute.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import perdure
from perdure.author.function import Function
from perdure.author.workflow import Workflow
from perdure.client.journal import Entry

SECTIONS: dict[str, list[str]] = {
    "Declaring": ["function", "step", "workflow", "Retry"],
    "In a body": ["sleep", "now", "random", "uuid4", "get_context", "Context"],
    "Running": ["open", "run", "start", "get_run", "list_runs", "Run", "Status"],
    "Logging": ["ContextFilter", "JsonFormatter"],
    "Errors": [
        "PerdureError", "UsageError", "DeclarationError", "ContractError", "EncodingError",
        "DurationError", "SettingsError", "NotInWorkflow", "KeyConflict", "RunNotFound",
        "StoreError", "StoreUnavailable",
        "StepError", "StepTimeout", "StepInterrupted",
        "RunError", "RunFailed", "RunCancelled", "RunStuck",
        "RetryAfter", "NonRetryable",
    ],
}  # fmt: skip
MADE: dict[type, list[str]] = {
    Function: ["options", "step"],
    Workflow: ["options"],
    Entry: ["as_json"],
}
"""Classes that users meet without importing them, and what they may call there."""

INTERNAL = {"Retry.of", "Retry.delay", "ContextFilter.filter", "JsonFormatter.format"}
"""Members that the engine or `logging` calls, and users have no use for."""

INTRODUCTION = """\
# Python

<!-- Written by docs/generate.py from the docstrings in src/perdure. -->

All names of the package `perdure`. Whatever is not here is internal, and may change at any time; the
parts for tests are in `perdure.testing`.

In the signatures, a `Duration` is a text such as `"250ms"` or `"1h30m"`, a number of seconds, or a
`timedelta`; a `RetrySpec` is a number of retries, a list of durations, or a [`Retry`](#retry); and
`OnCrash` is `"retry"` or `"fail"`. What the statuses of a run mean, and what comes after each, is in the
[concepts](../concepts.md#what-becomes-of-a-run).
"""

WIDTH = 96
_SECTION = re.compile(r"(Args|Attributes|Returns|Raises):$")
_ENTRY = re.compile(r"(?P<names>\w+(?:, \w+)*): (?P<text>.*)")


def reference() -> str:
    """Write the page of all public names (Markdown)."""
    listed = [name for names in SECTIONS.values() for name in names]
    missing = set(perdure.__all__) ^ {*listed, "__version__"}
    if missing:
        sys.exit(f"docs/python_page.py: SECTIONS differs from perdure.__all__ in {sorted(missing)}")
    lines = INTRODUCTION.splitlines()
    for title, names in SECTIONS.items():
        lines += ["", f"## {title}"]
        for name in names:
            lines += _of(name, getattr(perdure, name))
    lines += ["", "## What the others return"]
    for made, members in MADE.items():
        lines += _class(made.__name__, made, members)
    return "\n".join(lines) + "\n"


def _of(name: str, public: Any) -> list[str]:
    if inspect.isclass(public):
        members = [] if issubclass(public, BaseException) else list(_members(public))
        return _class(name, public, members)
    if public.__name__ != name:
        return ["", f"### {name}", "", f"The same as [`{public.__name__}`](#{public.__name__})."]
    first = next(iter(inspect.signature(public).parameters.values()), None)
    is_decorator = first is not None and first.name == "fn"
    shown = f"@{_call(name, public, {'fn'}, '')}" if is_decorator else _call(name, public)
    return ["", f"### {name}", "", *_fenced(shown), "", *_text(name, public)]


def _class(name: str, public: type, members: list[str]) -> list[str]:
    lines = ["", f"### {name}", "", *_fenced(_head(name, public)), "", *_text(name, public)]
    if issubclass(public, Enum):
        lines += ["", f"One of {', '.join(f'`{one.value}`' for one in public)}."]
    for member in members:
        full = f"{name}.{member}"
        found = inspect.getattr_static(public, member)
        if isinstance(found, property):
            shown = f"{full}: {inspect.signature(found.fget).return_annotation}"
            documented = found.fget
        else:
            documented = getattr(public, member)
            is_bound = isinstance(found, classmethod)
            shown = _call(full, documented, set() if is_bound else {"self"})
            if inspect.iscoroutinefunction(documented):
                shown = f"await {shown}"
        lines += ["", f"#### {full}", "", *_fenced(shown), "", *_text(full, documented)]
    return lines


def _head(name: str, public: type) -> str:
    """The line of a class; with what it takes if users raise it."""
    if issubclass(public, BaseException):
        if not issubclass(public, perdure.PerdureError) and "__init__" in vars(public):
            return _call(f"class {name}", public.__init__, {"self"}, "")
        return f"class {name}({', '.join(base.__name__ for base in public.__bases__)})"
    return f"class {name}"


def _members(public: type) -> Iterator[str]:
    """What users may call of a class, in the order in which it is written."""
    for name, value in vars(public).items():
        is_callable = isinstance(value, property | classmethod) or inspect.isfunction(value)
        is_public = not name.startswith("_") and f"{public.__name__}.{name}" not in INTERNAL
        if is_callable and is_public:
            yield name


# --- Signatures ------------------------------------------------------------------------------------


def _call(
    name: str,
    called: Callable[..., Any],
    without: set[str] | None = None,
    returns: str | None = None,
) -> str:
    """A call with its parameters, on one line if it fits."""
    signature = inspect.signature(called)
    shown: list[str] = []
    kinds = inspect.Parameter
    parameters = [p for p in signature.parameters.values() if p.name not in (without or set())]
    for before, parameter in zip([None, *parameters], parameters, strict=False):
        starts = before is None or before.kind < kinds.VAR_POSITIONAL
        if parameter.kind is kinds.KEYWORD_ONLY and starts:
            shown.append("*")
        if before is not None and before.kind is kinds.POSITIONAL_ONLY != parameter.kind:
            shown.append("/")
        shown.append(_parameter(parameter))
    if returns is None:
        annotation = signature.return_annotation
        returns = "" if annotation is inspect.Signature.empty else f" -> {_type(annotation)}"
    line = f"{name}({', '.join(shown)}){returns}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in shown), f"){returns}"])


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}"
    is_typed = parameter.annotation is not parameter.empty
    if is_typed:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        default = _default(parameter.default)
        text += f" = {default}" if is_typed else f"={default}"
    return text


def _default(value: object) -> str:
    if type(value) is object:
        return "…"  # a mark for "not given", which the docstring explains
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _type(annotation: str) -> str:
    """An annotation, with the names that readers know (`import random as _random`)."""
    return re.sub(r"\b_(?=[a-z])", "", annotation)


def _fenced(text: str, language: str = "") -> list[str]:
    return [f"```{language}", *text.splitlines(), "```"]


# --- Docstrings ------------------------------------------------------------------------------------


def _text(name: str, documented: object) -> list[str]:
    """A docstring as Markdown."""
    text = inspect.getdoc(documented)
    if not text:
        sys.exit(f"docs/python_page.py: {name} has no docstring")
    lines: list[str] = []
    rest = text.replace("``", "`").splitlines()
    while rest:
        if section := _SECTION.match(rest[0]):
            body, rest = _indented(rest[1:])
            lines += _section(section[1], body)
        elif rest[0].startswith(">>>"):
            end = next(
                (i for i, line in enumerate(rest) if not line.startswith((">>>", "..."))), None
            )
            example, rest = (rest, []) if end is None else (rest[:end], rest[end:])
            lines += _fenced("\n".join(line[4:] for line in example), "python")
        else:
            lines.append(rest.pop(0))
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _indented(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines of a section, and those after it."""
    end = next((i for i, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return [line[4:] for line in lines[:end] if line], lines[end:]


def _section(title: str, body: list[str]) -> list[str]:
    if title == "Returns":
        return [f"Returns: {' '.join(line.strip() for line in body)}", ""]
    entries: list[str] = []
    for line in body:
        entry = _ENTRY.match(line)
        if entry is not None:
            names = ", ".join(f"`{name}`" for name in entry["names"].split(", "))
            entries.append(f"- {names}: {entry['text']}")
        else:
            entries[-1] += f" {line.strip()}"
    told = {"Args": "Arguments"}.get(title, title)
    return [f"{told}:", "", *entries, ""]
