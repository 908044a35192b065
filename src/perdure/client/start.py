"""Starting runs: `start` returns a handle, `run` waits for the result."""

from __future__ import annotations

import asyncio
import dataclasses
import platform
from typing import Any, ParamSpec, TypeVar

from perdure.author.function import AsyncFunction, Function, PlainFunction
from perdure.author.keys import idempotency_key
from perdure.author.workflow import Workflow
from perdure.client.connection import Connection, connect, without_driver
from perdure.client.handle import Run
from perdure.client.host import current_host, open
from perdure.client.serving import ensure_served
from perdure.core.codec import JSON
from perdure.core.errors import LostLease, NotInWorkflow, TidTaken, UsageError
from perdure.core.run import NewRun, Status
from perdure.core.text import is_writable
from perdure.engine.resident import Definition
from perdure.engine.tids import make_tid
from perdure.machine import current
from perdure.project.discovery import refuse_while_loading
from perdure.store import RunFilter
from perdure.stores.lookup import find_tid

PYTHON = platform.python_version()
"""The Python that starts runs here, written on each of them."""

MAX_LISTED = 1_000_000
"""So many runs are listed at most."""

P = ParamSpec("P")
R = TypeVar("R")

Runnable = Workflow[P, R] | AsyncFunction[P, R] | PlainFunction[P, R]


def start(
    what: Workflow[P, R] | AsyncFunction[P, R] | PlainFunction[P, R],
    /,
    *args: Any,
    key: str | None = None,
    **kwargs: Any,
) -> Run[R]:
    """Start a durable run of a workflow or function, and return its handle.

    In a process that hosts (`perdure.open`) the run executes here; in any other it is recorded for
    a worker, and the project's background worker is started if there is none that serves it.

    The run is durable when this returns. (Async code on the host's own loop: when its TID is read,
    when it is awaited, or with the next commit of this loop, whichever comes first.)

    Args:
        what: What to run.
        args, kwargs: Its inputs; they must fit its contract.
        key: An idempotency key, unique per workflow: a second start with the same key and input
            returns the same run. None: every start is a run of its own.

    Returns:
        The handle of the run; ``await`` it, or ask for its `Run.result`.

    Raises:
        ContractError, EncodingError: The inputs do not fit; nothing is stored.
        KeyConflict: The key was used with another input; nothing is stored.
        NotInWorkflow: Called in the body of a workflow, where a child is awaited instead.
        UsageError: This is no workflow or function, or no worker could import it.
        StoreError: The run cannot be stored.
    """
    return _start(what, args, kwargs, key)


def run(
    what: Workflow[P, R] | AsyncFunction[P, R] | PlainFunction[P, R],
    /,
    *args: Any,
    key: str | None = None,
    **kwargs: Any,
) -> R:
    """Run a workflow or function durably in this process, wait, and return its result.

    If the process dies on the way, the same call with the same key goes on where it was.

    Args:
        what: What to run.
        args, kwargs: Its inputs; they must fit its contract.
        key: An idempotency key, as in `start`.

    Returns:
        What its body returned.

    Raises:
        RunFailed, RunCancelled, RunStuck: It ended without a result, as in `Run.result`.
        ContractError, EncodingError, KeyConflict, NotInWorkflow, StoreError: As in `start`.
        UsageError: Called in async code, which it would block.
    """
    refuse_while_loading(f"perdure.run({getattr(what, 'name', what)}, …)")
    if asyncio._get_running_loop() is not None:
        raise UsageError(
            "perdure.run() blocks; in async code write: async with perdure.open(): await start(…)"
        )
    if current_host() is not None:
        return start(what, *args, key=key, **kwargs).result()
    with open():
        return start(what, *args, key=key, **kwargs).result()


@without_driver
def get_run(tid: str, *, connection: Connection | None = None) -> Run[Any]:
    """The handle of a run that was started before, by anybody.

    Args:
        tid: Its TID, or any beginning or end of it that is unique.
        connection: Where it is; by default in the store of the open host, else in that of the
            project around the current folder.

    Raises:
        RunNotFound: No run, or more than one, answers to that.
        SettingsError: The project's settings cannot be used.
        StoreError: The store cannot be read.
    """
    connection = connection or _connection()
    return Run(connection, find_tid(connection.store, tid))


@without_driver
def list_runs(
    *,
    status: Status | str | None = None,
    name: str | None = None,
    limit: int = 50,
    connection: Connection | None = None,
) -> list[Run[Any]]:
    """The latest runs, newest first.

    Args:
        status, name: Only those with this status, of this workflow or function; None: any.
        limit: At most so many, from 1 to a million.
        connection: Where they are, as in `get_run`.

    Raises:
        UsageError: There is no such status, no name like that, or `limit` is out of range.
        SettingsError: The project's settings cannot be used.
        StoreError: The store cannot be read.
    """
    connection = connection or _connection()
    if limit < 1 or limit > MAX_LISTED:
        raise UsageError(f"limit={limit} is not a number of runs: give 1 to {MAX_LISTED:,}")
    if status is not None and status not in set(Status):
        choices = ", ".join(Status)
        raise UsageError(f"status={status!r} is not a status; it is one of {choices}")
    if name is not None and not is_writable(name):
        raise UsageError(f"name={name!r} has a lone surrogate; no workflow or function is named so")
    where = RunFilter(
        namespace=connection.settings.namespace,
        statuses=None if status is None else [Status(status)],
        name=name,
        limit=limit,
    )
    return [Run(connection, found.tid, name=found.name) for found in connection.store.runs(where)]


def _connection() -> Connection:
    host = current_host()
    return host.connection if host is not None else connect()


@without_driver
def _start(what: Any, args: Any, kwargs: dict[str, Any], key: str | None) -> Run[Any]:
    definition, key = _checked(what, key)
    refuse_while_loading(f"start({definition.name}, …)")
    payload = definition.contract.accept_input(JSON, args, kwargs)
    host = current_host()
    worker = host.running() if host is not None else None
    if worker is None:
        host = None  # none, or one that is just being closed
    connection = host.connection if host is not None else connect()
    source = connection.source_of(definition.fn)
    if host is None and not source:
        raise UsageError(
            f"{definition.name}() is declared where no worker can import it (python -c, python -, "
            "a shell or a notebook); put it into a file, or run it here: perdure.run(…), or start it "
            "in: with perdure.open(): …"
        )
    store = connection.store
    at = store.now()
    new = NewRun(
        tid=make_tid(at),
        kind=definition.kind,
        name=definition.name,
        version=definition.version,
        input=payload,
        source=source,
        namespace=connection.settings.namespace,
        key=key,
        at=at,
        worker=worker.worker_id if worker is not None and worker.has_room() else None,
        python=PYTHON,
    )
    if host is not None and key is None:
        begun = host.begin(new, definition) if new.worker is not None else host.queue(new)
        if begun is not None:
            return Run(connection, new.tid, name=new.name, resident=begun, definition=definition)
    submitted, new = _submit(connection, new)
    if host is not None and new.worker is not None and submitted.is_new:
        host.begin_stored(new, definition)
    elif submitted.is_new or host is None:  # who has the key may be unfinished and unserved, too
        store.poke()
        if host is not None:
            host.wake()
        else:
            ensure_served(connection, new.name)
    return Run(connection, submitted.tid, name=new.name, definition=definition)


def _checked(what: object, key: str | None) -> tuple[Definition, str | None]:
    if not isinstance(what, Workflow | Function):
        raise UsageError(
            f"{what!r} is neither a @workflow nor a @function; only those can be started"
        )
    if current() is not None:
        raise NotInWorkflow(
            f"start({what.name}, …) inside the body of a workflow would start it again at every "
            f"replay; a child is started by: await {what.name}(…)"
        )
    optioned = what.key if isinstance(what, Workflow) else None
    if key is None:
        key = optioned
    elif isinstance(what, Workflow) and "key" in what.contract.inputs:
        raise UsageError(
            f"{what.name}() has an input named 'key', so key={key!r} is ambiguous; write "
            f"start({what.name}.options(key=…), …) and pass the input by position"
        )
    return what, idempotency_key(key)  # pyright: ignore[reportUnknownVariableType] - of any inputs and result


def _submit(connection: Connection, new: NewRun) -> Any:
    while True:
        try:
            return connection.store.submit([new])[0], new
        except TidTaken:
            new = dataclasses.replace(new, tid=make_tid(connection.store.now()))
        except LostLease:
            # The worker here was buried and is about to register anew: let whoever can claim it.
            new = dataclasses.replace(new, worker=None)
