"""From a word of the command line to a run that is recorded for a worker."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, TypeGuard

from perdure.author.function import Function
from perdure.author.workflow import Workflow
from perdure.cli.opening import refuse_memory
from perdure.client.connection import Connection, connect
from perdure.client.handle import Run
from perdure.client.start import start
from perdure.core.errors import DiscoveryError
from perdure.project.discovery import resolve

Runnable = Workflow[Any, Any] | Function[Any, Any]


def find_runnable(text: str) -> Runnable:
    """Import what "MODULE:NAME" or "FILE.py:NAME" names.

    Raises:
        DiscoveryError: There is nothing of that name, it cannot be imported, or it was never
            declared as a workflow or function.
    """
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result alone
        found = resolve(text)
    if _is_runnable(found):
        return found
    if callable(found):
        raise DiscoveryError(
            f"{text} is a plain {type(found).__name__}, which no worker would find again; write "
            "@function or @workflow above it (from perdure import function, workflow)"
        )
    raise DiscoveryError(
        f"{text} is a {type(found).__name__}; only a @workflow or a @function can be run"
    )


def _is_runnable(found: object) -> TypeGuard[Runnable]:
    return isinstance(found, Workflow | Function)


def start_recorded(
    runnable: Runnable, args: Any, kwargs: dict[str, Any], key: str | None
) -> tuple[Run[Any], Connection]:
    """Record a run for the project's worker, and start that worker if none is alive."""
    connection = connect()
    refuse_memory(connection.settings)
    if isinstance(runnable, Workflow) and key is not None:
        return start(runnable.options(key=key), *args, **kwargs), connection
    return start(runnable, *args, key=key, **kwargs), connection  # type: ignore[arg-type]
