"""Hosting: a worker inside this process, beside your code.

``with perdure.open():`` runs it on a loop and a thread of its own; ``async with perdure.open():``
on the loop that is running. Either way the runs that are started meanwhile execute here, and runs
that an earlier process left unfinished, and whose code is declared here, go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

from perdure.client.connection import Connection, connect
from perdure.client.serving import ensure_continued, say_what_goes_on
from perdure.core.errors import SettingsError, StoreError, UsageError
from perdure.core.run import NewRun
from perdure.engine.intake import Newcomer
from perdure.engine.resident import Definition, Resident
from perdure.project.discovery import refuse_while_loading
from perdure.project.folder import Project
from perdure.store import Store
from perdure.worker.worker import Worker

log = logging.getLogger("perdure.client")

T = TypeVar("T")

INTERRUPTED_GRACE = 1.0
"""Seconds that steps are given when the program is interrupted (Ctrl-C)."""


class Host:
    """A worker in this process; made by `open`."""

    def __init__(self, connection: Connection, *, owns_connection: bool, **worker: Any) -> None:
        self.connection = connection
        self._owns_connection = owns_connection
        self._options = worker
        self._thread: threading.Thread | None = None
        # Waited for instead of the thread: an interrupted `join` takes a thread for ended (3.11).
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: Worker | None = None
        self._own_store: Store | None = None
        self._grace: float | None = None

    @property
    def worker(self) -> Worker:
        """The worker; there is one while the host is open."""
        if self._worker is None:
            raise UsageError("this host is not open; write: with perdure.open():")
        return self._worker

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which the worker lives."""
        if self._loop is None:
            raise UsageError("this host is not open; write: with perdure.open():")
        return self._loop

    def is_on_this_loop(self) -> bool:
        """Whether the caller runs on the worker's own loop."""
        return asyncio._get_running_loop() is self._loop

    def running(self) -> Worker | None:
        """The worker, or None: it is not open, or about to end."""
        worker = self._worker
        return worker if worker is not None and not worker.is_ending else None

    # --- opening and closing ----------------------------------------------------------------------

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is not None:
            raise UsageError("in async code write: async with perdure.open():")
        self._check_fresh()
        started = threading.Event()
        errors: list[BaseException] = []
        self._ended.clear()
        self._thread = threading.Thread(
            target=self._live, args=(started, errors), name="perdure-host", daemon=True
        )
        self._thread.start()
        started.wait()
        if errors:
            self._thread.join()
            self._thread = self._loop = None
            self._disconnect()
            error = errors[0]
            if isinstance(error, StoreError):
                raise error.with_traceback(None) from None
            raise error
        _hosts.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self in _hosts:
            _hosts.remove(self)
        thread, worker, loop = self._thread, self._worker, self._loop
        if thread is None or worker is None or loop is None:
            return
        self._grace = INTERRUPTED_GRACE if kind is KeyboardInterrupt else None
        try:
            _ask(loop, worker.request_stop)
            self._ended.wait()
        except KeyboardInterrupt:
            _ask(loop, worker.hurry)
            self._ended.wait()
            raise
        finally:
            self._thread = self._worker = self._loop = None
            if self._ended.is_set():  # else it was interrupted once more, and uses its store
                thread.join()
                self._leave()

    async def __aenter__(self) -> Self:
        self._check_fresh()
        self._loop = asyncio.get_running_loop()
        worker = self._new_worker(is_shared=True)
        try:
            await worker.start()
        except BaseException as error:
            self._loop = None
            self._disconnect()
            if isinstance(error, StoreError):
                raise error.with_traceback(None) from None
            raise
        self._worker = worker
        _hosts.append(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self in _hosts:
            _hosts.remove(self)
        worker, self._worker = self._worker, None
        if worker is None:
            return
        interrupted = kind is not None and issubclass(
            kind, KeyboardInterrupt | asyncio.CancelledError
        )
        grace = INTERRUPTED_GRACE if interrupted else None
        # In a task of its own: cancelling the program must not leave a worker behind that nobody
        # can close, which would keep its lease and its runs.
        closing = asyncio.create_task(self._close(worker, grace), name="perdure-closing")
        await _see_through(closing, hurry=worker.hurry)

    async def _close(self, worker: Worker, grace: float | None) -> None:
        try:
            await worker.close(grace)
        finally:
            self._loop = None
            self._leave()

    def _check_fresh(self) -> None:
        refuse_while_loading("with perdure.open()")
        if self._worker is not None or self._thread is not None:
            raise UsageError("this host is open already; make another one with perdure.open()")

    def _leave(self) -> None:
        """See to it that what is unfinished goes on without this host, and let go of the store."""
        connection = self.connection
        try:
            if connection.project is not None:
                ensure_continued(connection.project, connection.settings, connection.store)
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        store, self._own_store = self._own_store, None
        if store is not None:
            store.close()
        if self._owns_connection:
            self.connection.close()

    def _live(self, started: threading.Event, errors: list[BaseException]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            if started.is_set():
                log.exception("the host's worker ended by an error")
            errors.append(error)
        finally:
            started.set()
            self._ended.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        worker = self._new_worker(is_shared=False)
        await worker.start()
        self._worker = worker
        started.set()
        try:
            await worker.wait()
        except BaseException:
            self._grace = INTERRUPTED_GRACE  # the loop is torn down: a step may have stopped it
            raise
        finally:
            await worker.close(self._grace)

    def _new_worker(self, *, is_shared: bool) -> Worker:
        settings = self.connection.settings
        store = self.connection.store
        opener = self.connection.opener()
        if not self.connection.is_memory:
            # The worker's own, so that its pokes wake this process's clients.
            store = self._own_store = opener()
        return Worker(
            store,
            opener,
            settings=settings.worker,
            namespace=settings.namespace,
            is_shared=is_shared,
            **self._options,
        )

    @contextlib.contextmanager
    def around(self, worker: Worker) -> Generator[Self, None, None]:
        """Be the host of a worker that was started on the running loop, and is ended elsewhere."""
        self._check_fresh()
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        _hosts.append(self)
        try:
            yield self
        finally:
            _hosts.remove(self)
            self._worker = self._loop = None

    # --- taking up runs ---------------------------------------------------------------------------

    def begin(self, run: NewRun, definition: Definition) -> Resident:
        """Take up a run that is not stored yet; when this returns on another thread, it is.

        On the worker's own loop it shares the next commit instead (see `Engine.ensure_stored`).
        """
        engine = self.worker.engine
        if self.is_on_this_loop():
            return engine.begin(run, definition, is_stored=False)
        stored = threading.Event()

        def begin() -> Resident:
            resident = engine.begin(run, definition, is_stored=False)
            resident.on_stored = stored.set
            return resident

        resident = self.call(begin)
        try:
            while not stored.wait(1.0):
                if self.running() is None:
                    # The host was closed before it came to that: it is for whoever claims it.
                    self.connection.store.submit([dataclasses.replace(run, worker=None)])
                    resident.birth = None
                    break
                log.warning("run %d waits to be stored; the store takes nothing just now", run.tid)
        except KeyboardInterrupt:
            say_what_goes_on(self.connection, run.tid)
            raise
        return resident

    def queue(self, run: NewRun) -> Newcomer | None:
        """Take in a run for which there is no room, with others; None: not on the worker's loop."""
        return self.worker.engine.queue(run) if self.is_on_this_loop() else None

    def begin_stored(self, run: NewRun, definition: Definition) -> Resident:
        """Take up a run that was stored as held by this worker."""
        engine = self.worker.engine
        if self.is_on_this_loop():
            return engine.begin(run, definition, is_stored=True)
        return self.call(lambda: engine.begin(run, definition, is_stored=True))

    def call(self, function: Callable[[], T]) -> T:
        """Call a function on the worker's loop from another thread, and wait for what it returns."""
        box: list[T] = []
        errors: list[BaseException] = []
        done = threading.Event()
        loop = self.loop

        def work() -> None:
            try:
                box.append(function())
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller
                errors.append(error)
            finally:
                done.set()

        try:
            loop.call_soon_threadsafe(work)
            while not done.wait(1.0):
                if loop.is_closed():
                    raise RuntimeError("the loop was closed")
        except RuntimeError:
            raise UsageError("the host was closed while it was asked; open another one") from None
        if errors:
            raise errors[0]
        return box[0]

    def wake(self) -> None:
        """Let the worker look at its store now."""
        if self.is_on_this_loop():
            self.worker.poked()
        else:
            with contextlib.suppress(RuntimeError):  # the worker has ended; others will look
                self.loop.call_soon_threadsafe(self.worker.poked)


def _ask(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
        loop.call_soon_threadsafe(what)


async def _see_through(task: asyncio.Task[None], *, hurry: Callable[[], object]) -> None:
    """Wait until a task has ended, also when the caller is cancelled meanwhile: the first time that
    hurries the task, and it is raised when the task has ended."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if cancelled is None:
                hurry()
            cancelled = error
    if cancelled is None:
        task.result()
        return
    if not task.cancelled() and (trouble := task.exception()) is not None:
        log.error("the host was not closed in good order", exc_info=trouble)
    raise cancelled


_hosts: list[Host] = []
os.register_at_fork(after_in_child=_hosts.clear)


def hosting(connection: Connection, worker: Worker) -> AbstractContextManager[Host]:
    """Make a worker that lives on the running loop the host of this process, for a while: what its
    steps start executes on it, and a wait that would block its loop is refused.

    Args:
        connection: The project's connection; its store is another object than the worker's.
        worker: A worker that was started on the running loop; it is not ended here.
    """
    return Host(connection, owns_connection=False).around(worker)


def current_host() -> Host | None:
    """The host that was opened last in this process and is still open, or None."""
    return _hosts[-1] if _hosts else None


def open(*, project: Project | str | os.PathLike[str] | None = None, **settings: object) -> Host:
    """Host a worker in this process: ``with perdure.open():`` or ``async with perdure.open():``.

    Inside the block, runs that are started execute here; when it ends, steps that run are waited
    for (`worker.drain`; after Ctrl-C or when the task is cancelled: one second, and plain ones are
    given up), and what is unfinished is handed back: the project's background worker
    goes on with it (on PostgreSQL, or without `worker.autostart`: the next host or worker that
    knows its code).

    Args:
        project: A project's folder; by default the one around the current folder.
        settings: Any setting of perdure.toml that concerns a host, for this one:
            ``store="memory:"``, ``durability="process"``, ``worker={"threads": 4}``. A section is
            given as a dict; what it leaves out stays as the project says.

    Returns:
        What the ``with`` statement opens and closes; it is needed for nothing else.

    Raises:
        SettingsError: A setting is unknown, has a bad value, or is not for hosts: a host executes
            what is imported already, and leaves logging to the application.
        StoreError: The store cannot be used.
    """
    from pathlib import Path

    if project is not None and not isinstance(project, Project):
        project = find_or_create_at(Path(project))
    check_for_hosts(settings)
    connection = connect(project, **settings)
    return Host(connection, owns_connection=bool(settings))


def check_for_hosts(settings: Mapping[str, object]) -> None:
    """Refuse settings that a host would not follow.

    Raises:
        SettingsError: One of them is for worker processes alone.
    """
    section = settings.get("worker")
    if "worker.idle_exit" in settings or (isinstance(section, Mapping) and "idle_exit" in section):
        raise SettingsError(
            "worker.idle_exit in the call has no effect in a host, which ends when its program "
            "closes it; it is for the project's background worker: say it in perdure.toml"
        )
    for key in settings:
        if key == "modules":
            raise SettingsError(
                f"modules = {settings[key]!r} in the call has no effect in a host, which executes "
                "what this process has declared; import the modules instead"
            )
        if key.partition(".")[0] == "log":
            raise SettingsError(
                f"{key} = {settings[key]!r} in the call has no effect in a host, whose logging is "
                "the application's; add perdure.ContextFilter to a handler instead"
            )


def find_or_create_at(folder: Any) -> Project:
    """The project around a folder."""
    from perdure.project.folder import find_or_create

    return find_or_create(folder)
