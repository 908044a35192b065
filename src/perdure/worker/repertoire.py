"""What a worker can execute: what its process has declared, and what it can import.

A run names its source, so a worker that meets an unknown name imports the source and looks. Where
that does not help, the run is *blocked* with the reason, unless another living worker serves it; it
goes on by itself as soon as some worker has its code.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perdure.author import registry
from perdure.core.errors import DiscoveryError
from perdure.project.discovery import declared_elsewhere, introduce_main, load_module, source_of
from perdure.project.watch import fingerprint
from perdure.store import Unclaimed, WorkerRow
from perdure.worker.pulse import ticks

log = logging.getLogger("perdure.worker")


FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
"""Seconds before a source that could not be imported is tried again: from, doubling, to."""


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    pause: float
    again_at: float


class Repertoire:
    """The code of one worker.

    Args:
        root: The project's folder, from which sources are imported; None: nothing is imported
            (a worker hosted by an application runs what the application has declared).
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        introduce_main(root)
        self._names: list[tuple[str, str]] = []
        self._changes_seen = -1
        self._failed: dict[str, _Failure] = {}
        self._loaded: set[str] = set()
        self._sources: dict[int, str] = {}
        self._strangers: dict[tuple[str, str, str], str] = {}

    @property
    def imports(self) -> bool:
        """Whether this worker imports code that it does not know."""
        return self._root is not None

    def names(self) -> list[tuple[str, str]]:
        """(name, version) of all that is declared in this process."""
        changes = registry.changes()  # before the names: what comes in between is seen next time
        if changes != self._changes_seen:
            self._names = [(one.name, one.version) for one in registry.known()]
            self._changes_seen = changes
        return self._names

    def load(self, modules: Sequence[str]) -> None:
        """Import the modules that the settings name.

        Raises:
            DiscoveryError: One of them cannot be imported.
        """
        for module in modules:
            load_module(module, self._root or Path.cwd())

    async def learn(self, unknown: Unclaimed) -> str | None:
        """Try to find the code of a run; None: it is here now, else the reason why it is not."""
        if registry.find(unknown.name, unknown.version) is not None:
            return None
        if self._root is None:
            return f"no worker serves {unknown.name!r}"
        if not unknown.source:
            return (
                f"{unknown.name!r} was declared where no other process can import it "
                "(a shell or notebook); start it from a module"
            )
        problem = await self._import(unknown.source)
        if problem is not None:
            return problem
        if registry.find(unknown.name, unknown.version) is not None:
            return None
        other = registry.latest(unknown.name)
        if other is not None:
            return (
                f"version {unknown.version!r} of {unknown.name} is not here, "
                f"only {other.version!r}; run a worker with the code of that version"
            )
        return f"{unknown.source} was imported, but declares no {unknown.kind} {unknown.name!r}"

    def may_know_more(self) -> bool:
        """Whether a source that could not be imported is worth another try now: its mistake may
        have been mended."""
        return any(ticks() >= failure.again_at for failure in self._failed.values())

    async def _import(self, source: str) -> str | None:
        """Import a source once; None: it is loaded, else why not. What fails is tried again after
        a pause that doubles, since nobody tells when a file was mended."""
        if source in self._loaded:
            return None
        failure = self._failed.get(source)
        if failure is not None and ticks() < failure.again_at:
            return failure.reason
        assert self._root is not None
        try:
            await asyncio.to_thread(load_module, source, self._root)
        except DiscoveryError as error:
            pause = FIRST_PAUSE if failure is None else min(failure.pause * 2, LAST_PAUSE)
            if failure is None or failure.reason != str(error):
                log.warning("cannot import %s: %s", source, error)
            self._failed[source] = _Failure(str(error), pause, ticks() + pause)
            return str(error)
        self._failed.pop(source, None)
        self._loaded.add(source)
        return None

    def source_of(self, fn: object) -> str:
        """Where another process can import this callable from."""
        known = self._sources.get(id(fn))
        if known is None:
            known = self._sources[id(fn)] = source_of(fn, self._root)
        return known

    def stranger(self, fn: Callable[..., object], source: str) -> str:
        """The file that declares the code of a run with this source, if that is not this callable
        but another one of its name; "" if all is well."""
        if not source or source == self.source_of(fn):
            return ""
        key = (fn.__qualname__, fn.__module__, source)
        if key not in self._strangers:
            self._strangers[key] = declared_elsewhere(fn, source)
        return self._strangers[key]

    def fingerprint(self) -> str:
        """What identifies the code of all that is declared here."""
        modules = {
            module
            for definition in registry.known()
            if (module := sys.modules.get(definition.fn.__module__)) is not None
        }
        return fingerprint(modules)


def is_served_elsewhere(
    name: str, namespace: str, me: int, now: int, workers: Sequence[WorkerRow]
) -> bool:
    """Whether another living worker has said that it executes runs of this name."""
    return any(
        row.id != me
        and row.namespace == namespace
        and row.lease_until >= now
        and name in (row.serves or ())
        for row in workers
    )
