"""Inputs: what is given for one of them, written down as JSON text and read back.

`*items` and `**extra` are a list and an object, of which each value is looked at alone. Which input
an argument is for is the matter of `contract`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import Protocol, cast

import msgspec

from perdure.core.codec import Codec, Shape
from perdure.core.codec.trouble import shown, type_of
from perdure.core.errors import ContractError, DecodingError
from perdure.core.signature import COLLECTED, Input

_PLAIN = Codec()
fields_of: Callable[[str], dict[str, msgspec.Raw]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw]
).decode
"""The values of a JSON object, each as it was written."""
_items_of: Callable[[str], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Write(Protocol):
    """`Codec.encode`, or what stands for it."""

    def __call__(self, value: object, shape: Shape, *, at: str, subject: str) -> str:
        """JSON text of a value."""
        ...


def write_input(one: Input, value: object, subject: str, write: _Write | None = None) -> str:
    """JSON text of what was given for an input, not yet sealed.

    Args:
        one, value: The input, and what was given.
        subject: Who gave it, for errors: "charge() was given".
        write: Writes each value: `accept`, or `Codec.encode` if None.

    Raises:
        ContractError, EncodingError: As `write` does.
    """
    write = write or _PLAIN.encode
    if one.kind is Parameter.VAR_POSITIONAL:
        items = [
            write(item, one.shape, at=f"{one.name}[{index}]", subject=subject)
            for index, item in enumerate(cast("Sequence[object]", value))
        ]
        return "[" + ",".join(items) + "]"
    if one.kind is Parameter.VAR_KEYWORD:
        given = cast("Mapping[str, object]", value)
        fields = [
            f"{_PLAIN.encode(key, at=one.name)}:{write(item, one.shape, at=f'{one.name}.{key}', subject=subject)}"
            for key, item in given.items()
        ]
        return "{" + ",".join(fields) + "}"
    return write(value, one.shape, at=one.name, subject=subject)


def accept(value: object, shape: Shape, *, at: str, subject: str) -> str:
    """JSON text of a value from outside, which may be plain data that stands for a record.

    Raises:
        ContractError: It does not fit, or has fields that its record does not have.
        EncodingError: It cannot be written down.
    """
    try:
        text = _PLAIN.encode(value, shape, at=at, subject=subject)
    except ContractError:
        if not isinstance(value, dict | list):
            raise
        plain = _PLAIN.encode(cast("object", value), at=at)
        read = _PLAIN.admit(plain, shape, at=at, subject=subject)
        return _PLAIN.encode(read, shape, at=at, subject=subject)
    if not shape.is_direct:
        _PLAIN.check(text, shape, at=at, subject=subject)
    return text


def read_input(read: Callable[..., object], one: Input, text: str, subject: str) -> object:
    """What `write_input` wrote; `read`: `Codec.decode` or `Codec.admit`, for each value.

    Raises:
        ContractError, DecodingError: As `read` does.
    """
    if one.kind not in COLLECTED:
        return read(text, one.shape, at=one.name, subject=subject)
    try:
        if one.kind is Parameter.VAR_POSITIONAL:
            return [
                read(bytes(raw).decode(), one.shape, at=f"{one.name}[{i}]", subject=subject)
                for i, raw in enumerate(_items_of(text))
            ]
        return {
            key: read(bytes(raw).decode(), one.shape, at=f"{one.name}.{key}", subject=subject)
            for key, raw in fields_of(text).items()
        }
    except msgspec.ValidationError:
        said = "list" if one.kind is Parameter.VAR_POSITIONAL else "object"
        raise ContractError(
            f"{subject} {shown(text)} at {one.name}; its contract says a JSON {said}",
            path=one.name,
        ) from None


def parse_input(one: Input, value: object, subject: str) -> object:
    """What a command line gives for an input, as the annotation says.

    Raises:
        ContractError: Text does not fit.
    """
    if one.kind is Parameter.VAR_POSITIONAL:
        items = cast("Sequence[object]", value)
        return [_parsed(one, item, subject, f"[{i}]") for i, item in enumerate(items)]
    if one.kind is Parameter.VAR_KEYWORD:
        extra = cast("Mapping[str, object]", value)
        return {key: _parsed(one, item, subject, f".{key}") for key, item in extra.items()}
    return _parsed(one, value, subject, "")


def _parsed(one: Input, value: object, subject: str, part: str) -> object:
    if not isinstance(value, str) or one.shape.annotation is str:
        return value
    at = one.name + part
    try:
        return _PLAIN.admit(value, one.shape, at=at, subject=subject)
    except (ContractError, DecodingError) as first:
        # Perhaps it is the text itself: a name of an Enum, a date, a path.
        try:
            return _PLAIN.admit(_PLAIN.encode(value), one.shape, at=at, subject=subject)
        except (ContractError, DecodingError):
            raise (
                first if isinstance(first, ContractError) else _not_fit(one, value, subject, part)
            ) from None


def _not_fit(one: Input, value: object, subject: str, part: str) -> ContractError:
    path = one.name + part
    return ContractError(
        f"{subject} {shown(value)} ({type_of(value)}) at {path}; its contract says "
        f"{one.shape.name}",
        path=path,
    )
