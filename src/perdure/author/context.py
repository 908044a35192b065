"""What a body may ask about itself: `Context`, injected by annotation or had by `get_context()`."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from perdure.core.errors import NotInWorkflow


class HasContext(Protocol):
    """Something that can make the context of the code it runs, when that is asked for."""

    def context(self) -> Context:
        """The context; the same at every call."""
        ...


_current: contextvars.ContextVar[Context | HasContext] = contextvars.ContextVar("perdure_context")


def _no_progress(_progress: Progress) -> None:
    """Where nobody looks, progress goes nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a step is.

    Attributes:
        done: How much is done, in any unit.
        total: How much there is, in the same unit; None: not known.
        message: What it is doing now.
    """

    done: float
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The run, the step and the attempt that the current code belongs to.

    A parameter annotated with `Context` is injected; it is not an input.

    Attributes:
        tid: The run's TID, 19 digits; "" in a plain call outside any run.
        name: The name of the run's workflow or function.
        step: The ordinal of the step in the run; None in the body of a workflow.
        step_name: The name of the step's function; "" in the body of a workflow.
        attempt: Which attempt of the step this is, from 1.
        key: The run's idempotency key, or None.
    """

    __perdure_injected__: ClassVar[bool] = True

    tid: str
    name: str
    step: int | None = None
    step_name: str = ""
    attempt: int = 1
    key: str | None = None
    on_progress: Callable[[Progress], None] = field(default=_no_progress, repr=False)
    replaying: Callable[[], bool] = field(default=bool, repr=False)

    @property
    def token(self) -> str:
        """An idempotency token for the outside world: the same for every attempt of this step,
        also after a crash, and different for every other step. Send it with a payment or a mail,
        and a repetition does no harm."""
        return f"perdure-{self.tid}-{self.step if self.step is not None else 'run'}"

    @property
    def is_replaying(self) -> bool:
        """Whether the body of the workflow is being replayed just now; False in a step."""
        return self.replaying()

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger named ``perdure.run.<name>`` whose records carry the run; silent in a replay."""
        return RunLogger(logging.getLogger(f"perdure.run.{self.name}"), self)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell how far this step is; `perdure status` and `Run.record()` show the latest word
        for as long as the run is at work.

        Args:
            done: How much is done, in any unit.
            total: How much there is, in the same unit; None: not known.
            message: What the step is doing now.
        """
        self.on_progress(Progress(done=done, total=total, message=message))

    def fields(self) -> dict[str, object]:
        """The context as the fields of a log record."""
        fields: dict[str, object] = {"tid": self.tid, "run": self.name}
        if self.step is not None:
            fields["step"] = self.step
            fields["step_name"] = self.step_name
            fields["attempt"] = self.attempt
        return fields


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the run's context to every record, and says nothing while the body is replayed."""

    def __init__(self, logger: logging.Logger, context: Context) -> None:
        super().__init__(logger, {"perdure": context.fields()})
        self._context = context

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the standard library's name
        return not self._context.replaying() and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        extra = dict(kwargs.get("extra") or {})
        extra.update(self.extra or {})
        kwargs["extra"] = extra
        return msg, kwargs


def get_context() -> Context:
    """The context of the workflow or step whose code is running.

    Raises:
        NotInWorkflow: Neither a workflow nor a step of Perdure's is running here.
    """
    context = current_context()
    if context is None:
        raise NotInWorkflow(
            "get_context() was called outside a run; it works in the body of a workflow or step"
        )
    return context


def current_context() -> Context | None:
    """The context of the code that is running, or None outside of runs."""
    context = _current.get(None)
    return context if context is None or isinstance(context, Context) else context.context()


def enter(base: contextvars.Context, holder: HasContext) -> contextvars.Context:
    """A copy of some contextvars in which `get_context()` answers what `holder` makes."""
    variables = base.copy()
    variables.run(_current.set, holder)
    return variables


enter_here: Callable[[HasContext], object] = _current.set
"""Have `get_context()` answer what a holder makes, from here on, in the contextvars at hand."""


def is_entered(variable: contextvars.ContextVar[Any]) -> bool:
    """Whether this is the variable that `enter_here` and its like set."""
    return variable is _current


def enter_fresh(holder: HasContext) -> contextvars.Context:
    """Empty contextvars in which `get_context()` answers what `holder` makes: nothing of the host
    leaks in."""
    variables = contextvars.Context()
    variables.run(_current.set, holder)
    return variables


def outside() -> Context:
    """The context of a plain call outside any run."""
    return Context(tid="", name="")
