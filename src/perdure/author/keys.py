"""What may be a key: of a run (an idempotency key), and of a step."""

from __future__ import annotations

from perdure.core.errors import DeclarationError, UsageError
from perdure.core.text import is_writable

_LONGEST = 500


def idempotency_key(key: object) -> str | None:
    """The key of a run, if it can be one; None: no key.

    Raises:
        UsageError: It is no key.
    """
    if key is None or (isinstance(key, str) and 0 < len(key) <= _LONGEST and is_writable(key)):
        return key
    raise UsageError(
        f"key={key!r} is no idempotency key: use a text of 1 to {_LONGEST} characters"
        f"{_without_surrogates(key)}"
    )


def step_key(key: object, function: str) -> str | None:
    """The key of a step of a function, if it can be one; None: no key.

    Raises:
        DeclarationError: It is no key.
    """
    if key is None or (isinstance(key, str) and key and is_writable(key)):
        return key
    raise DeclarationError(
        f"key={key!r} of {function}() is not a text that names a step{_without_surrogates(key)}"
    )


def _without_surrogates(key: object) -> str:
    if isinstance(key, str) and not is_writable(key):
        return "; this one has a lone surrogate (a byte that is no UTF-8), leave it out"
    return ""
