"""Which run a person means by a TID or by a part of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perdure.core.errors import RunNotFound
from perdure.core.ids import DIGITS

if TYPE_CHECKING:
    from perdure.store import Store


def find_tid(store: Store, text: str) -> int:
    """The TID of the one run whose TID is this, or begins or ends with it.

    Raises:
        RunNotFound: No run, or more than one, answers to that.
    """
    digits = str(text).strip()
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > DIGITS:
        raise RunNotFound(f"{text!r} is no TID, nor a part of one: write its digits")
    found = store.match(digits)
    if not found:
        raise RunNotFound(f"no run's TID begins or ends with {digits} in {store.url}")
    if len(found) > 1:
        some = ", ".join(str(one) for one in found)
        raise RunNotFound(f"{digits} is not unique: {some}; write more digits")
    return found[0]
