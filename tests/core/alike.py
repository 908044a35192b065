"""Whether two values are the same in every way that a program can tell."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from decimal import Decimal
from typing import Any, cast


def alike(one: Any, other: Any) -> bool:
    """Equal and of the same types, all the way down; nan is like nan, 0.0 is not like -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float | Decimal):
        return repr(one) == repr(other)
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            alike(a, b) for a, b in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, set | frozenset):
        mine = sorted(map(repr, cast("set[object]", one)))
        return mine == sorted(map(repr, cast("set[object]", other)))
    if isinstance(one, datetime):
        return one == other and one.utcoffset() == other.utcoffset() and str(one) == str(other)
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(alike(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, BaseException):
        return alike(one.args, other.args)
    return bool(one == other) or repr(one) == repr(other)
