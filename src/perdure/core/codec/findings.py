"""What was found out about parts of a value, remembered while that value is written or read.

A union asks its members one after another, and each of them looks at everything inside. Where the
inside holds unions again, the work would double with each level: a chain of `A | B` that is forty
deep would never be done. So each union looks at each place once.

Findings live as long as one pass over one value. They hold on to what they are about, for an object
is known by its id here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from perdure.core.codec.trouble import Trouble

if TYPE_CHECKING:
    from perdure.core.codec.node import Node

_Turn = TypeVar("_Turn", bound=Callable[[Any, Any], Any])
_Key = tuple[Callable[[Any, Any], Any], "Node", int]
_Finding = tuple[object, object, Trouble | None]
"""What it is about; what came of it; the trouble that it was instead."""

_findings: ContextVar[dict[_Key, _Finding] | None] = ContextVar("findings", default=None)
_SCALARS = frozenset({str, int, float, bool, type(None)})


def one_pass(turn: Callable[[Any], object], value: object) -> object:
    """Do something with a whole value, without what was found out about others: a constructor of
    the user's that writes something down while its own fields are read may change it afterwards."""
    token = _findings.set({})
    try:
        return turn(value)
    finally:
        _findings.reset(token)


def once(turn: _Turn) -> _Turn:
    """Make `turn(node, value)` a thing that is done only once in one pass; what it gave or raised is
    given or raised again, a trouble each time with a path of its own."""

    @wraps(turn)
    def found(node: Node, value: object) -> object:
        if type(value) in _SCALARS:  # nothing inside: doing it is cheaper than remembering
            return turn(node, value)
        findings = _findings.get()
        if findings is None:
            return one_pass(lambda whole: turn(node, whole), value)
        key = (turn, node, id(value))
        finding = findings.get(key)
        if finding is None:
            try:
                result = turn(node, value)
            except Trouble as trouble:
                findings[key] = (value, None, trouble.copy())
                raise
            findings[key] = (value, result, None)
            return result
        _, result, trouble_then = finding
        if trouble_then is not None:
            raise trouble_then.copy()
        return result

    return cast("_Turn", found)
