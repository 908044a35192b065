"""What a project can be told, and where it may be told.

Rules of this file:

1. A setting is told in four places; the first that speaks wins: the call (or command line), the
   environment (`PERDURE_WORKER_LEASE` for `worker.lease`), `perdure.toml` (or `[tool.perdure]` in
   `pyproject.toml`), the default.
2. Nothing is ignored: an unknown name, a wrong type or a value out of range is an error that names
   the value, the setting and the place, even where a stronger place would win.
3. The fields of `Settings` are the one table of settings: type, default, limits and the sentence
   of the documentation (`project.reference` writes `docs/reference/settings.md` from it).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from perdure.core.errors import SettingsError
from perdure.project.folder import VARIABLE, Project
from perdure.project.forms import Choice, Count, Duration, Flag, Form, Names, Text, written_duration

_SECOND = 1_000_000


# --- The table -----------------------------------------------------------------------------------


T = TypeVar("T")


def _setting(form: Form, default: T, doc: str, *, shown: str = "") -> T:
    """Declare a setting; `shown` is the default in words, where the value does not say it."""
    return field(default=default, metadata={"form": form, "doc": doc, "shown": shown})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How workers work. Durations are in microseconds."""

    lease: int = _setting(
        Duration(1 * _SECOND),
        15 * _SECOND,
        "How long a worker may be silent before others take over its runs, and a worker process "
        "whose loop hangs ends itself. (A worker that is proven dead on the same machine is replaced "
        "at once.)",
    )
    autostart: bool = _setting(
        Flag(),
        True,
        "Whether the project starts a background worker for itself when runs are left that no "
        "worker serves.",
    )
    idle_exit: int = _setting(
        Duration(0),
        600 * _SECOND,
        "After how long without any unfinished run the project's background worker ends. (No other "
        "worker ends by itself: one that was started by hand, or by a program that hosts, stays.)",
    )
    drain: int = _setting(
        Duration(0),
        30 * _SECOND,
        "How long a worker that stops waits for the steps that it runs, before it hands their runs "
        "back.",
    )
    concurrency: int = _setting(
        Count(), 1_000, "How many runs a worker has at work at once; runs that wait do not count."
    )
    threads: int = _setting(
        Count(),
        min(32, (os.cpu_count() or 1) + 4),
        "How many plain (not async) functions a worker executes at once.",
        shown="the number of CPUs + 4, at most 32",
    )
    max_abandoned_threads: int = _setting(
        Count(),
        8,
        "How many threads may hang in functions that were given up (timed out) before the worker "
        "drains and starts afresh. (In a program that hosts, that is only logged.)",
    )
    cached_runs: int = _setting(
        Count(0),
        10_000,
        "How many waiting runs a worker keeps in memory; others are replayed when they go on.",
    )
    block_warning: int = _setting(
        Duration(_SECOND // 100),
        2 * _SECOND,
        "How long code may block the event loop before that is reported by name.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What the log says."""

    level: str = _setting(
        Choice("debug", "info", "warning", "error"),
        "info",
        "From which level on a worker logs.",
    )
    format: str = _setting(
        Choice("plain", "json"),
        "plain",
        "Lines for people, or one JSON object per line.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a project can be told; read with `load`, or made by hand in tests."""

    modules: tuple[str, ...] = _setting(
        Names(),
        (),
        "The modules that workers import: `package.module`, or the path of a file beginning at "
        "the project.",
    )
    store: str = _setting(
        Text('a text: "sqlite:///abs/path.db", "postgresql://host/name", "memory:" or a path'),
        "",
        "The database that holds the runs; a path begins at the project.",
        shown="`.perdure/perdure.db`",
    )
    durability: str = _setting(
        Choice("full", "process"),
        "full",
        '"full": what is acknowledged survives a power cut of the machine that has the database. '
        '"process": it survives a crash of the process, and commits cost a fraction. (On PostgreSQL '
        "the setting `synchronous_commit` of each session.)",
    )
    namespace: str = _setting(
        Text(), "default", "Runs of different namespaces in one database never see each other."
    )
    worker: WorkerSettings = WorkerSettings()
    log: LogSettings = LogSettings()


_SECTIONS: dict[str, type[WorkerSettings | LogSettings]] = {
    "worker": WorkerSettings,
    "log": LogSettings,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting as the documentation tells it.

    Attributes:
        key: Its name: "store", "worker.lease".
        form: What its values look like.
        default: Its default, in words.
        doc: What it is for.
    """

    key: str
    form: Form
    default: str
    doc: str

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "PERDURE_" + self.key.replace(".", "_").upper()


def _table() -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for section, owner in [("", Settings), *_SECTIONS.items()]:
        for entry in fields(owner):
            if entry.name in _SECTIONS:
                continue
            key = f"{section}.{entry.name}" if section else entry.name
            form: Form = entry.metadata["form"]
            default = entry.metadata["shown"] or _written(form, entry.default)
            settings[key] = Setting(key=key, form=form, default=default, doc=entry.metadata["doc"])
    return settings


def _written(form: Form, value: object) -> str:
    """A value as it would stand in perdure.toml."""
    if isinstance(form, Duration):
        return f"`{written_duration(cast('int', value))!r}`".replace("'", '"')
    if isinstance(value, tuple):
        return f"`{list(cast('tuple[str, ...]', value))}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


SETTINGS = _table()
"""Every setting, by its key."""

OTHER_VARIABLES = {
    VARIABLE: "The project's folder; nothing is searched for then.",
}
"""Variables that are not settings, with what they are for."""

_HANDED_OVER = "PERDURE_WORKER_LOCK_FD"
"""Ours, from a process to the worker that it starts; nobody else sets it."""

_FOREIGN = r"PERDURE_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?)|PERDURE_TEST_.*"
"""Not ours: what Kubernetes puts into every container beside a service called perdure, and what
tests tell each other."""


# --- Reading -------------------------------------------------------------------------------------


def load(
    project: Project,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings of a project.

    Args:
        project: Whose settings.
        overrides: What the call or the command line says, by key ("worker.lease") or by section
            ({"worker": {"lease": …}}); None as a value means that nothing is said.
        environ: The environment; None: that of the process.

    Raises:
        SettingsError: Something is unknown, or has a value that cannot be used.
    """
    values = {
        **_from_file(project),
        **_from_environment(os.environ if environ is None else environ),
        **_from_call(overrides or {}),
    }
    values["store"] = _store_url(cast("str", values.get("store", "")), project)
    plain: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    for key, value in values.items():
        section, dot, name = key.rpartition(".")
        if dot:
            inner[section][name] = value
        else:
            plain[key] = value
    return Settings(
        **plain, worker=WorkerSettings(**inner["worker"]), log=LogSettings(**inner["log"])
    )


def _from_call(overrides: Mapping[str, object]) -> dict[str, object]:
    place = "the call"
    values: dict[str, object] = {}
    named: dict[str, object] = {}
    for name, told in overrides.items():
        if name in _SECTIONS and isinstance(told, Mapping):
            inner = cast("Mapping[str, object]", told)
            named.update({f"{name}.{key}": entry for key, entry in inner.items()})
        else:
            named[name] = told
    for key, value in named.items():
        if value is None:
            continue
        setting = SETTINGS.get(key)
        if setting is None:
            raise _unknown(key, place)
        read = setting.form.read_text if isinstance(value, str) else setting.form.read
        values[key] = _checked(setting, read, value, key, place)
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    known = {setting.variable: setting for setting in SETTINGS.values()}
    values: dict[str, object] = {}
    for name, text in environ.items():
        if not name.startswith("PERDURE_") or name in OTHER_VARIABLES or name == _HANDED_OVER:
            continue
        setting = known.get(name)
        if setting is None:
            if re.fullmatch(_FOREIGN, name):
                continue
            from difflib import get_close_matches

            near = get_close_matches(name, [*known, *OTHER_VARIABLES], n=1, cutoff=0.0)
            raise SettingsError(
                f"the environment variable {name} is not a setting; did you mean {near[0]}?"
            )
        if text:  # an empty variable is how a shell or a compose file says "not set"
            values[setting.key] = _checked(
                setting, setting.form.read_text, text, name, "the environment"
            )
    return values


def _from_file(project: Project) -> dict[str, object]:
    own, shared = project.root / "perdure.toml", project.root / "pyproject.toml"
    told = _parsed(own)
    tool = _parsed(shared).get("tool") if "perdure" in _text(shared) else None
    table = cast("dict[str, object]", tool).get("perdure") if isinstance(tool, dict) else None
    if table is None:
        return _flat(told, str(own))
    place = f"[tool.perdure] of {shared}"
    if os.path.exists(own):
        raise SettingsError(
            f"settings stand in {own} and in {place}; keep them in one of the two places"
        )
    if not isinstance(table, dict):
        raise SettingsError(f"{place} must be a table, not {table!r}")
    return _flat(cast("dict[str, object]", table), place)


def _flat(table: Mapping[str, object], place: str) -> dict[str, object]:
    """Read a table with its sections into values by key."""
    values: dict[str, object] = {}
    named: dict[str, object] = {}
    for name, value in table.items():
        if name not in _SECTIONS:
            named[name] = value
        elif isinstance(value, dict):
            inner = cast("dict[str, object]", value)
            named.update({f"{name}.{key}": entry for key, entry in inner.items()})
        else:
            raise SettingsError(f"{name} = {value!r} in {place}: write a section, [{name}]")
    for key, value in named.items():
        setting = SETTINGS.get(key)
        if setting is None:
            raise _unknown(key, place)
        values[key] = _checked(setting, setting.form.read, value, key, place)
    return values


def _text(path: Path) -> str:
    """The text of a file; "" if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {error}; mend or remove it") from error


def _parsed(path: Path) -> dict[str, object]:
    text = _text(path)
    if not text:
        return {}
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}; mend that line") from error


class _Read(Protocol):
    def __call__(self, value: Any, /) -> object: ...


def _checked(setting: Setting, read: _Read, value: object, name: str, place: str) -> object:
    try:
        return read(value)
    except (ValueError, TypeError) as error:
        # A store's URL may carry a password, and messages end up in logs.
        shown = _without_password(value) if setting.key == "store" else repr(value)
        raise SettingsError(
            f"{name} = {shown} in {place} cannot be used; it must be {setting.form.expects}"
        ) from (error.__cause__ or None)


def _without_password(value: object) -> str:
    return re.sub(r"(://[^:/@]*:)[^@]*@", r"\1…@", repr(value))


def _unknown(key: str, place: str) -> SettingsError:
    """An error that names the nearest setting, also where only its section was forgotten."""
    from difflib import get_close_matches  # only a mistake pays for the import

    leaf = key.rpartition(".")[2]
    near = get_close_matches(key, SETTINGS, n=1) or [
        other for other in SETTINGS if get_close_matches(leaf, [other.rpartition(".")[2]], n=1)
    ]
    hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(SETTINGS)}"
    return SettingsError(f"unknown setting {key} in {place}; {hint}")


def _store_url(text: str, project: Project) -> str:
    """The store as a URL or an absolute path; a relative path begins at the project."""
    if not text:
        return f"sqlite://{project.database}"
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:", text):
        return text
    return f"sqlite://{project.root / Path(text).expanduser()}"
