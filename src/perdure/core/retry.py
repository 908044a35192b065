"""When a failed call is tried again: the policy, and the decision.

Rules of this file:

1. Attempts are counted from 1. `retries=3` means three retries, so at most four attempts.
2. Every policy is one formula: the n-th retry waits for the n-th of `delays`; once these are used
   up, for the last of them, grown by `factor` each time, and never longer than `cap`.
3. Jitter keeps at least half of the delay ("equal jitter") and never exceeds it, so never `cap`.
4. What the error says goes before what the policy says: `retryable = False` ends the attempts,
   `retry_after` replaces the delay. `max_attempts` holds all the same.
5. The caller's own mistakes (`UsageError`) and whatever is not an `Exception` are never retried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, cast

from perdure.core.duration import SECOND, Duration, parse, show
from perdure.core.errors import DeclarationError, DurationError, UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rng(Protocol):
    """What jitter is drawn from; `random.Random` is one."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, and after which delays, a failed call is tried again.

    Made by `exponential`, `fixed` or `listed`.

    Attributes:
        max_attempts: At most so many attempts, the first one included; None: without end.
        delays: Microseconds before the first retries; the last one goes on for all later ones.
        factor: By how much the last delay grows with each further retry; 1 for not at all.
        cap: No delay is longer (µs).
        jitter: Whether up to half of a delay is left to chance, so that many failures at once do
            not come back at once.
        non_retryable: Exceptions that are never retried, with their subclasses.
    """

    max_attempts: int | None
    delays: tuple[int, ...] = (SECOND,)
    factor: float = 1.0
    cap: int = 300 * SECOND
    jitter: bool = False
    non_retryable: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be kept."""
        if self.max_attempts is not None and self.max_attempts < 1:
            raise DeclarationError(
                f"max_attempts={self.max_attempts!r}: the first attempt counts, so 1 is the least"
            )
        if not self.delays or min(self.delays) < 0:
            raise DeclarationError(f"delays={self.delays!r}: give at least one, none negative")
        if not (math.isfinite(self.factor) and self.factor >= 1):
            raise DeclarationError(
                f"factor={self.factor!r}: a delay grows by a factor of 1 or more"
            )
        kinds = cast("tuple[object, ...]", self.non_retryable)
        for given in kinds:
            if not (isinstance(given, type) and issubclass(given, BaseException)):
                raise DeclarationError(
                    f"non_retryable has {given!r}, which is not an exception class"
                )

    @classmethod
    def exponential(
        cls,
        retries: int | None = 3,
        *,
        base: Duration = 1,
        factor: float = 2,
        cap: Duration = "5m",
        jitter: bool = True,
        non_retryable: Sequence[type[BaseException]] = (),
    ) -> Retry:
        """Delays that grow: base, base x factor, base x factor², … up to the cap.

        Args:
            retries: How many retries after the first attempt; None: without end.
            base: The first delay.
            factor: By how much each delay is longer than the one before.
            cap: The longest delay.
            jitter: Whether up to half of each delay is left to chance.
            non_retryable: Exceptions that are never retried.

        Raises:
            DeclarationError: A value cannot be kept.
        """
        return cls(
            max_attempts=_attempts(retries),
            delays=(_delay("base", base),),
            factor=_number("factor", factor),
            cap=_delay("cap", cap),
            jitter=jitter,
            non_retryable=tuple(non_retryable),
        )

    @classmethod
    def fixed(
        cls,
        retries: int | None = 3,
        *,
        delay: Duration = 1,
        non_retryable: Sequence[type[BaseException]] = (),
    ) -> Retry:
        """The same delay each time.

        Args:
            retries: How many retries after the first attempt; None: without end.
            delay: The delay.
            non_retryable: Exceptions that are never retried.

        Raises:
            DeclarationError: A value cannot be kept.
        """
        us = _delay("delay", delay)
        return cls(
            max_attempts=_attempts(retries),
            delays=(us,),
            cap=us,
            non_retryable=tuple(non_retryable),
        )

    @classmethod
    def listed(
        cls,
        delays: Sequence[Duration],
        *,
        retries: int | None = -1,
        non_retryable: Sequence[type[BaseException]] = (),
    ) -> Retry:
        """These delays, one for each retry.

        Args:
            delays: One delay for each retry.
            retries: How many retries; by default as many as there are delays. With more of them
                the last delay repeats; None: without end.
            non_retryable: Exceptions that are never retried.

        Raises:
            DeclarationError: A value cannot be kept.
        """
        if not delays:
            return cls(max_attempts=1, non_retryable=tuple(non_retryable))
        us = tuple(_delay("retries", delay) for delay in delays)
        return cls(
            max_attempts=len(us) + 1 if retries == -1 else _attempts(retries),
            delays=us,
            cap=max(us),
            non_retryable=tuple(non_retryable),
        )

    @classmethod
    def of(cls, spec: object) -> Retry:
        """Read what stands at `retries=`: a number of retries, a list of delays, a policy or None.

        Raises:
            DeclarationError: It is none of these.
        """
        if isinstance(spec, Retry):
            return spec
        if spec is None:
            return NEVER
        if isinstance(spec, int) and not isinstance(spec, bool):
            return cls.exponential(spec) if spec != 0 else NEVER
        if isinstance(spec, list | tuple):
            return cls.listed(cast("Sequence[Duration]", spec))  # each item is looked at there
        raise DeclarationError(
            f"retries={spec!r} is not understood: give a number of retries, a list of delays such "
            'as ["1s", "5s"], or a Retry'
        )

    def delay(self, retry: int, rng: Rng) -> int:
        """How long (µs) the retry with this number (from 1) waits."""
        late = retry - len(self.delays)
        if late <= 0:
            us = min(self.delays[retry - 1], self.cap)
        else:
            us = _grown(self.delays[-1], self.factor, late, self.cap)
        return us - int(us / 2 * rng.random()) if self.jitter else us

    def __str__(self) -> str:
        """In words, for people."""
        if self.max_attempts == 1:
            return "never retried"
        often = "without end" if self.max_attempts is None else f"{self.max_attempts - 1} times"
        delays = ", ".join(show(us) for us in self.delays)
        grows = f", x{self.factor:g} up to {show(self.cap)}" if self.factor > 1 else ""
        return f"retried {often} after {delays}{grows}"


NEVER = Retry(max_attempts=1)
"""The policy of a call that is not tried again."""


def decide_retry(
    policy: Retry, error: BaseException, attempt: int, *, now: int, rng: Rng
) -> int | None:
    """Decide what follows a failed attempt.

    Args:
        policy: The policy of the call.
        error: What the attempt raised.
        attempt: Which attempt it was, from 1.
        now: The time (µs).
        rng: What jitter is drawn from.

    Returns:
        When the next attempt is due (µs, not before `now`), or None: give up.
    """
    if policy.max_attempts is not None and attempt >= policy.max_attempts:
        return None
    if not _may_retry(policy, error):
        return None
    told = _told_due(error, now)
    if told is not None:
        return max(told, now)
    return now + policy.delay(attempt, rng)


def _may_retry(policy: Retry, error: BaseException) -> bool:
    if not isinstance(error, Exception) or isinstance(error, UsageError):
        return False
    if isinstance(error, policy.non_retryable):
        return False
    return _attribute(error, "retryable") is not False


def _told_due(error: BaseException, now: int) -> int | None:
    """When the error itself asks for the next attempt; None: it does not, or not readably.

    Libraries use `retry_after` for things of their own, so what is not understood is passed over.
    """
    after = _attribute(error, "retry_after")
    if isinstance(after, datetime):
        if after.tzinfo is None:
            return None
        return (after - _EPOCH) // timedelta(microseconds=1)
    if isinstance(after, str | int | float | timedelta):
        try:
            return now + parse(after)
        except DurationError:
            return None
    return None


def _attribute(error: BaseException, name: str) -> object:
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001 - a broken property of the user's decides nothing
        return None


def _grown(us: int, factor: float, times: int, cap: int) -> int:
    if factor == 1.0 or us == 0:
        return min(us, cap)
    try:
        return int(min(us * factor**times, float(cap)))
    except OverflowError:
        return cap


def _attempts(retries: object) -> int | None:
    if retries is None:
        return None
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise DeclarationError(
            f"retries={retries!r} is not a number of retries: give 0 or more; Retry.exponential(None) goes on without end"
        )
    return retries + 1


def _delay(name: str, value: Duration) -> int:
    try:
        return parse(value)
    except DurationError as error:
        raise DeclarationError(f"{name}={value!r}: {error}") from None


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DeclarationError(f"{name}={value!r} is not a number")
    return float(value)
