"""Errors written down, and raised again where they are needed.

An error is written as

    {"type": "shop:CardDeclined", "message": "no funds", "args": [...], "state": {...},
     "traceback": "...", "notes": [...], "cause": {...} or "context": {...}, "exceptions": [...]}

of which only "type" and "message" must be there. It comes back as its own class where that class is
loaded, made without running any code of the class: the built-in exception that it derives from is
given the recorded `args`, and the attributes that could be written are set. So a constructor with
another signature than its `args` (which copying and pickling trip over) is no trouble. Where that
does not lead to a working exception, a `StepError` tells type, message and traceback.

What is not an `Exception` (SystemExit, KeyboardInterrupt, CancelledError …) always comes back as a
`StepError`: raised again as itself it would not tell of a failure but end whoever reads it.

Writing never raises, whatever an exception does in its `__str__`.
"""

from __future__ import annotations

import traceback
from types import FunctionType
from typing import Any, cast

from perdure.core.codec import untyped
from perdure.core.codec.names import class_of, name_of
from perdure.core.errors import StepError

LONGEST_TRACEBACK = 8192
"""Characters of a traceback that are kept, from its end."""

TRACEBACK = "perdure_traceback"
"""The attribute under which a rebuilt exception has its recorded traceback."""

_DEEPEST = 16
_MOST_FRAMES = 60

# What built-in exceptions keep beside their args and their __dict__.
_HIDDEN: list[tuple[type[BaseException], tuple[str, ...]]] = [
    (OSError, ("filename", "filename2")),
    (ImportError, ("name", "path")),
    (NameError, ("name",)),
    (AttributeError, ("name",)),
]

Written = dict[str, Any]


def write_error(error: BaseException) -> Written:
    """An exception in terms of JSON; never raises."""
    return _write(error, {id(error)}, _DEEPEST)


def _write(error: BaseException, seen: set[int], depth: int) -> Written:
    written: Written = {"type": _type_name(error), "message": _message(error)}
    group = _as_group(error)
    if group is not None:
        written["message"] = _clean(group.message)
        if depth > 0:
            written["exceptions"] = [_write(one, seen, depth - 1) for one in group.exceptions]
    elif not _stands_for_another(error):
        args = _plain_or_none(list(cast("tuple[object, ...]", _own(error, "args") or ())))
        if args is not None and not _is_said_by_message(error, args, written):
            written["args"] = args
    state = {} if _stands_for_another(error) else _state(error)
    if state:
        written["state"] = state
    trace = _traceback(error, written)
    if trace:
        written["traceback"] = trace
    notes = _own(error, "__notes__")
    if isinstance(notes, list):
        written["notes"] = [
            _clean(note) for note in cast("list[object]", notes) if isinstance(note, str)
        ]
    _write_origin(error, written, seen, depth)
    return written


def _as_group(error: BaseException) -> BaseExceptionGroup[BaseException] | None:
    if not isinstance(error, BaseExceptionGroup):
        return None
    return cast("BaseExceptionGroup[BaseException]", error)


def _is_said_by_message(error: BaseException, args: object, written: Written) -> bool:
    """Whether the message alone makes the error again, without any code of its class."""
    return args == [written["message"]] and not isinstance(
        cast("Any", type(error)).__init__, FunctionType
    )


def _write_origin(error: BaseException, written: Written, seen: set[int], depth: int) -> None:
    """The cause, or else the context unless it was suppressed; a loop among them is cut."""
    origin, name = error.__cause__, "cause"
    if origin is None and not error.__suppress_context__:
        origin, name = error.__context__, "context"
    if origin is not None and depth > 0 and id(origin) not in seen:
        written[name] = _write(origin, seen | {id(origin)}, depth - 1)
    elif name == "cause" and origin is None and error.__suppress_context__:
        written["from_none"] = True


def _type_name(error: BaseException) -> str:
    if _stands_for_another(error):
        return cast("StepError", error).type_name
    return name_of(type(error))


def _stands_for_another(error: BaseException) -> bool:
    """Whether it is a StepError in the place of an error that could not be rebuilt here."""
    return type(error) is StepError and bool(error.type_name)


def _own(error: BaseException, name: str) -> object:
    """An attribute, past whatever a class does when it is asked; None where there is none."""
    try:
        return object.__getattribute__(error, name)
    except Exception:  # noqa: BLE001 - a property, or a slot that was never filled
        return None


def _message(error: BaseException) -> str:
    try:
        return _clean(str(error))
    except Exception as broken:  # noqa: BLE001 - a stranger's __str__
        return f"<its message cannot be shown: {type(broken).__name__}>"


def _clean(text: str) -> str:
    """Text without lone surrogates, which JSON does not take."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _plain_or_none(value: object) -> Any:
    """A value as it would be written, or None if it cannot be (None itself is not asked for)."""
    try:
        plain = untyped.write(value)
        untyped.to_json(plain)
    except Exception:  # noqa: BLE001 - whatever it is, the error goes on without it
        return None
    return plain


def _state(error: BaseException) -> Written:
    state: Written = {}
    for name, value in _attributes(error).items():
        if name in ("__notes__", TRACEBACK) or not name.isidentifier():
            continue
        plain = _plain_or_none([value])
        if plain is not None:
            state[name] = plain[0]
    return state


def _attributes(error: BaseException) -> dict[str, object]:
    found: dict[str, object] = {}
    for base, names in _HIDDEN:
        if isinstance(error, base):
            found |= {name: _own(error, name) for name in names if _own(error, name) is not None}
    for cls in type(error).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if _own(error, name) is not None:
                found[name] = _own(error, name)
    return found | cast("dict[str, object]", _own(error, "__dict__"))


def _traceback(error: BaseException, written: Written) -> str:
    """The recorded traceback of an error that was raised again, and then where it went here."""
    earlier = _own(error, TRACEBACK)
    parts = [earlier] if isinstance(earlier, str) and earlier else []
    if type(error) is StepError and error.traceback and not parts:
        parts = [error.traceback]
    if error.__traceback__ is not None:
        try:
            frames = traceback.format_tb(error.__traceback__, limit=-_MOST_FRAMES)
        except Exception:  # noqa: BLE001 - a source file that is gone or odd
            frames = []
        last = f"{written['type'].rpartition(':')[2]}: {written['message']}"
        parts.append("".join(["Traceback (most recent call last):\n", *frames, last]))
    text = _clean("\n\nraised again:\n\n".join(parts))
    return text if len(text) <= LONGEST_TRACEBACK else "..." + text[3 - LONGEST_TRACEBACK :]


# --- Reading -------------------------------------------------------------------------------------


def read_error(plain: object) -> BaseException:
    """The exception that `write_error` was given, or a `StepError` that stands for it."""
    written = cast("Written", plain) if isinstance(plain, dict) else {}
    error = _rebuilt(written)
    if error is None:
        error = StepError(
            _text(written, "message"),
            type_name=_text(written, "type") or "unknown",
            traceback=_text(written, "traceback"),
        )
    _restore(error, written)
    return error


def _text(written: Written, key: str) -> str:
    value = written.get(key, "")
    return value if isinstance(value, str) else ""


def _rebuilt(written: Written) -> BaseException | None:
    cls = class_of(_text(written, "type"))
    if cls is None or not issubclass(cls, Exception):
        return None
    try:
        if issubclass(cls, BaseExceptionGroup):
            return _rebuilt_group(cast("Any", cls), written)
        if "args" not in written and "state" not in written:
            error = _by_constructor(cls, _text(written, "message"))
            if error is not None:
                return error
        args: list[object] = [_text(written, "message")]
        if "args" in written:
            args = untyped.read(written["args"])
        error = _by_base(cls, args)
        _set_state(error, written.get("state", {}))
        str(error)
    except Exception:  # noqa: BLE001 - then a StepError stands for it
        return None
    return error


def _rebuilt_group(cls: type[BaseExceptionGroup[Any]], written: Written) -> BaseException:
    members = [read_error(one) for one in written["exceptions"]]
    error = BaseExceptionGroup.__new__(cls, _text(written, "message"), members)
    _set_state(error, written.get("state", {}))
    return error


def _by_constructor(cls: type[Exception], message: str) -> Exception | None:
    """Made from its message alone, if that is what it then says."""
    try:
        error = cls(message) if message else cls()
        return error if str(error) == message or isinstance(error, KeyError) else None
    except Exception:  # noqa: BLE001 - it wants other arguments
        return None


def _by_base(cls: type[Exception], args: list[object]) -> Exception:
    """Made by the built-in exception that it derives from, so that no code of its own runs."""
    base = next(one for one in cls.__mro__ if one.__module__ == "builtins")
    error = cast("Exception", cast("Any", base).__new__(cls, *args))
    cast("Any", base).__init__(error, *args)
    return error


def _set_state(error: BaseException, state: object) -> None:
    for name, plain in cast("Written", state).items():
        # Not setattr(): a frozen dataclass may be an exception, too.
        object.__setattr__(error, name, untyped.read(plain))


def _restore(error: BaseException, written: Written) -> None:
    trace = _text(written, "traceback")
    if trace:
        vars(error)[TRACEBACK] = trace
    notes = written.get("notes")
    if isinstance(notes, list) and notes:
        vars(error)["__notes__"] = list(cast("list[object]", notes))
    if isinstance(written.get("cause"), dict):
        error.__cause__ = read_error(written["cause"])
    elif isinstance(written.get("context"), dict):
        error.__context__ = read_error(written["context"])
    elif written.get("from_none"):
        error.__suppress_context__ = True
