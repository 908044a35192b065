"""Every error that Perdure raises, one sentence each; whose fault it is stands in the type.

PerdureError
├── UsageError                 the caller's mistake: refused before anything is stored
│   ├── DeclarationError       a decorator or a setting says something that cannot be kept
│   ├── ContractError          a value does not fit the contract (also a ValueError)
│   ├── EncodingError          a value cannot be written down (also a TypeError)
│   ├── DurationError          not a duration (also a ValueError)
│   ├── SettingsError          a bad setting, in perdure.toml, the environment or a call
│   ├── NotInWorkflow          a call that only makes sense inside a workflow
│   ├── KeyConflict            the key was used before with another input
│   └── RunNotFound            no run answers to this TID
├── DecodingError              stored text cannot be read back
├── DiscoveryError             a module or a name in it cannot be loaded
├── StoreError                 the database refused
│   ├── StoreUnavailable       for now: locked, full, unreachable; the same call may succeed later
│   ├── StoreUnusable          for good: corrupt, foreign, read-only or from a newer version
│   └── TidTaken               a TID belongs to another run (whoever chose it chooses again)
├── StepError                  a step failed and its own exception cannot be rebuilt here
│   ├── StepTimeout            a step ran longer than its timeout (also a TimeoutError)
│   └── StepInterrupted        a step declared on_crash="fail" was running when its worker died
├── RunError                   a run ended without a result
│   ├── RunFailed              its body raised
│   ├── RunCancelled           it was cancelled
│   └── RunStuck               it is parked and waits for a person
├── Unreplayable               today's code does not do what the journal says was done
└── LostLease                  another worker holds the run now

Two more are for users to raise, from a function, to say what a retry should do:

RetryAfter                     try again, after this long
NonRetryable                   do not try again
"""

from __future__ import annotations

from datetime import datetime, timedelta


class PerdureError(Exception):
    """The root of all errors that Perdure raises on purpose."""


class UsageError(PerdureError):
    """The caller's mistake; nothing was stored."""


class DeclarationError(UsageError):
    """A decorator or an option says something that cannot be kept."""


class ContractError(UsageError, ValueError):
    """A value does not fit the contract that a signature declares.

    Attributes:
        path: Where in the value the trouble is, as in ``order.items[3].price``; "" for the whole.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class EncodingError(UsageError, TypeError):
    """A value cannot be written into the journal.

    Attributes:
        path: Where in the value the trouble is, as in ``result["rows"][3]``.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class DecodingError(PerdureError):
    """Stored text cannot be read back: it is damaged, or its codec or type is not known here."""


class DurationError(UsageError, ValueError):
    """This is not a duration; write "250ms", "1h30m", a number of seconds or a timedelta."""


class SettingsError(UsageError):
    """A setting is unknown or has a value that cannot be used."""


class NotInWorkflow(UsageError, RuntimeError):
    """This call makes sense only inside the body of a workflow (or only outside of one)."""


class KeyConflict(UsageError):
    """The idempotency key was used before, with another input.

    Attributes:
        tid: The run that holds the key.
    """

    def __init__(self, message: str, *, tid: int) -> None:
        super().__init__(message)
        self.tid = tid


class RunNotFound(UsageError, LookupError):
    """No run, or more than one, answers to this TID."""


class DiscoveryError(PerdureError):
    """A module, or a name in it, cannot be loaded."""


class StoreError(PerdureError):
    """The database refused an operation."""


class StoreUnavailable(StoreError):
    """The database cannot do this now (locked, full, unreachable); later it may."""


class StoreUnusable(StoreError):
    """The database cannot be used at all (corrupt, foreign, read-only, from a newer version)."""


class TidTaken(StoreError):
    """A TID belongs to another run; nothing was written, and another TID will do.

    Attributes:
        tid: The TID.
    """

    def __init__(self, tid: int) -> None:
        super().__init__(f"the TID {tid} belongs to another run")
        self.tid = tid


class StepError(PerdureError):
    """A step failed, and its own exception class cannot be rebuilt here.

    Attributes:
        type_name: The exception's class as ``module:Qualified.name``.
        message: Its message.
        traceback: Its traceback as text, or "".
    """

    def __init__(self, message: str, *, type_name: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback


class StepTimeout(StepError, TimeoutError):
    """A step ran longer than its timeout and was given up."""


class StepInterrupted(StepError):
    """A step that may run at most once was running when its worker died."""


class RunError(PerdureError):
    """A run ended, or stands still, without a result.

    Attributes:
        tid: The run.
    """

    def __init__(self, message: str, *, tid: int = 0) -> None:
        super().__init__(message)
        self.tid = tid


class RunFailed(RunError):
    """The body of a run raised; the original exception is the cause where it can be rebuilt."""


class RunCancelled(RunError):
    """The run was cancelled."""


class RunStuck(RunError):
    """The run is parked (stuck or blocked) and waits for a person; its status says why."""


class Unreplayable(PerdureError):
    """Today's code does not do what the journal says was done.

    Attributes:
        seq: The journal row at which the two sides part.
        recorded: What the journal has, in words; "" where it has nothing.
        current: What the code now does, in words; "" where it does nothing.
    """

    def __init__(self, message: str, *, seq: int, recorded: str = "", current: str = "") -> None:
        super().__init__(message)
        self.seq = seq
        self.recorded = recorded
        self.current = current


class LostLease(PerdureError):
    """Another worker holds the run now; whatever this one still wanted to write was refused."""


class RetryAfter(Exception):
    """Raised by a function: this attempt failed, and the next one should wait so long.

    Any exception with an attribute `retry_after` says the same.

    Attributes:
        retry_after: Seconds, a duration such as "1m30s", a timedelta, or an aware datetime.
    """

    def __init__(
        self, message: str = "", *, retry_after: str | float | timedelta | datetime
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NonRetryable(Exception):
    """Raised by a function: another attempt would fail in the same way.

    Any exception with an attribute `retryable` that is False says the same.
    """

    retryable = False
