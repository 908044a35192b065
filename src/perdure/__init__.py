"""Durable functions for Python: write an ordinary typed function; Perdure makes it last.

>>> from perdure import function, workflow, sleep, start

Names are imported when they are first used, so that ``import perdure`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from perdure._version import __version__

if TYPE_CHECKING:
    from perdure.author.clock import now as now
    from perdure.author.clock import random as random
    from perdure.author.clock import sleep as sleep
    from perdure.author.clock import uuid4 as uuid4
    from perdure.author.context import Context as Context
    from perdure.author.context import get_context as get_context
    from perdure.author.function import function as function
    from perdure.author.function import step as step
    from perdure.author.logs import ContextFilter as ContextFilter
    from perdure.author.logs import JsonFormatter as JsonFormatter
    from perdure.author.workflow import workflow as workflow
    from perdure.client.handle import Run as Run
    from perdure.client.host import open as open
    from perdure.client.start import get_run as get_run
    from perdure.client.start import list_runs as list_runs
    from perdure.client.start import run as run
    from perdure.client.start import start as start
    from perdure.core.errors import ContractError as ContractError
    from perdure.core.errors import DeclarationError as DeclarationError
    from perdure.core.errors import DurationError as DurationError
    from perdure.core.errors import EncodingError as EncodingError
    from perdure.core.errors import KeyConflict as KeyConflict
    from perdure.core.errors import NonRetryable as NonRetryable
    from perdure.core.errors import NotInWorkflow as NotInWorkflow
    from perdure.core.errors import PerdureError as PerdureError
    from perdure.core.errors import RetryAfter as RetryAfter
    from perdure.core.errors import RunCancelled as RunCancelled
    from perdure.core.errors import RunError as RunError
    from perdure.core.errors import RunFailed as RunFailed
    from perdure.core.errors import RunNotFound as RunNotFound
    from perdure.core.errors import RunStuck as RunStuck
    from perdure.core.errors import SettingsError as SettingsError
    from perdure.core.errors import StepError as StepError
    from perdure.core.errors import StepInterrupted as StepInterrupted
    from perdure.core.errors import StepTimeout as StepTimeout
    from perdure.core.errors import StoreError as StoreError
    from perdure.core.errors import StoreUnavailable as StoreUnavailable
    from perdure.core.errors import UsageError as UsageError
    from perdure.core.retry import Retry as Retry
    from perdure.core.run import Status as Status

_HOMES = {
    # Declaring
    "function": "perdure.author.function",
    "step": "perdure.author.function",
    "workflow": "perdure.author.workflow",
    "Retry": "perdure.core.retry",
    # In a body
    "sleep": "perdure.author.clock",
    "now": "perdure.author.clock",
    "random": "perdure.author.clock",
    "uuid4": "perdure.author.clock",
    "Context": "perdure.author.context",
    "get_context": "perdure.author.context",
    # Running
    "open": "perdure.client.host",
    "run": "perdure.client.start",
    "start": "perdure.client.start",
    "get_run": "perdure.client.start",
    "list_runs": "perdure.client.start",
    "Run": "perdure.client.handle",
    "Status": "perdure.core.run",
    # Logging
    "ContextFilter": "perdure.author.logs",
    "JsonFormatter": "perdure.author.logs",
    # Errors
    "PerdureError": "perdure.core.errors",
    "UsageError": "perdure.core.errors",
    "DeclarationError": "perdure.core.errors",
    "ContractError": "perdure.core.errors",
    "EncodingError": "perdure.core.errors",
    "DurationError": "perdure.core.errors",
    "SettingsError": "perdure.core.errors",
    "NotInWorkflow": "perdure.core.errors",
    "KeyConflict": "perdure.core.errors",
    "RunNotFound": "perdure.core.errors",
    "StoreError": "perdure.core.errors",
    "StoreUnavailable": "perdure.core.errors",
    "StepError": "perdure.core.errors",
    "StepTimeout": "perdure.core.errors",
    "StepInterrupted": "perdure.core.errors",
    "RunError": "perdure.core.errors",
    "RunFailed": "perdure.core.errors",
    "RunCancelled": "perdure.core.errors",
    "RunStuck": "perdure.core.errors",
    "RetryAfter": "perdure.core.errors",
    "NonRetryable": "perdure.core.errors",
}

__all__ = [
    "Context",
    "ContextFilter",
    "ContractError",
    "DeclarationError",
    "DurationError",
    "EncodingError",
    "JsonFormatter",
    "KeyConflict",
    "NonRetryable",
    "NotInWorkflow",
    "PerdureError",
    "Retry",
    "RetryAfter",
    "Run",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunNotFound",
    "RunStuck",
    "SettingsError",
    "Status",
    "StepError",
    "StepInterrupted",
    "StepTimeout",
    "StoreError",
    "StoreUnavailable",
    "UsageError",
    "__version__",
    "function",
    "get_context",
    "get_run",
    "list_runs",
    "now",
    "open",
    "random",
    "run",
    "sleep",
    "start",
    "step",
    "uuid4",
    "workflow",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
