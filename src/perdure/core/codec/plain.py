"""Nodes for single values: numbers, text, times, enums, literals."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from pathlib import PurePath
from types import NoneType
from typing import Any, cast
from uuid import UUID

import msgspec

from perdure.core.codec import untyped
from perdure.core.codec.node import Node
from perdure.core.codec.trouble import Misfit, Unwritable, shown, type_of


class PlainNode(Node):
    """A type that msgspec writes as one JSON value and reads back.

    A value of exactly this type is written plainly; a value of a subclass is written with its tag
    where it has one (so that it comes back as what it was), else as this type.
    """

    def __init__(self, kind: type, keeps: Callable[[Any], bool] | None = None) -> None:
        """Make the node; `keeps`: whether msgspec writes this one value without a loss."""
        self.kind = kind
        self.name = "None" if kind is NoneType else kind.__name__
        self._keeps = keeps

    def is_direct(self, seen: set[int]) -> bool:
        return True

    def fits(self, value: object) -> bool:
        return type(value) is self.kind and (self._keeps is None or self._keeps(value))

    def fits_all(self, values: Collection[object]) -> bool:
        if self._keeps is None:
            return set(map(type, values)) <= {self.kind}
        return all(map(self.fits, values))

    def write(self, value: object) -> object:
        if self.fits(value):
            return value
        if not isinstance(value, self.kind) or (isinstance(value, bool) and self.kind is not bool):
            raise self.misfit(value)
        try:
            return untyped.write(value)
        except Unwritable:
            return self._as_base(value)

    def _as_base(self, value: Any) -> object:
        """A value of a subclass without a tag (such as numpy.float64), as what the contract says."""
        if self.kind is str:
            return str.__str__(value)
        if self.kind is int:
            return untyped.write(int.__int__(value))
        if self.kind is float:
            return untyped.write(float.__float__(value))
        raise Unwritable(
            f"a value of type {type_of(value)}, which is more than {self.name}; "
            f"use {self.name} itself"
        )

    def read(self, plain: object) -> object:
        if isinstance(plain, dict):
            value = untyped.read(cast("dict[str, object]", plain))
            self.write(value)
            return value
        try:
            return msgspec.convert(plain, cast("type[object]", self.kind))
        except msgspec.ValidationError:
            raise self.misfit(plain) from None


class IntNode(PlainNode):
    """int, of any size."""

    def __init__(self) -> None:
        """Make the node."""
        super().__init__(int)

    def fits(self, value: object) -> bool:
        return type(value) is int and untyped.SMALLEST <= value <= untyped.LARGEST

    def fits_all(self, values: Collection[object]) -> bool:
        return untyped.are_64_bit(values)


class FloatNode(PlainNode):
    """float: an int is one too, as it is for type checkers."""

    def __init__(self) -> None:
        """Make the node."""
        super().__init__(float, math.isfinite)

    def fits_all(self, values: Collection[object]) -> bool:
        return set(map(type, values)) <= {float} and all(map(math.isfinite, cast("Any", values)))

    def write(self, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            try:
                exact = float(value) == value
            except OverflowError:
                exact = False
            # Tagged although it is a number: read as a float it would be another one.
            return float(value) if exact else untyped.tag_int(int(value))
        return super().write(value)

    def read(self, plain: object) -> object:
        if type(plain) is int or isinstance(plain, dict):
            value = untyped.read(plain)
            written = self.write(value)
            return written if type(written) is float else value
        return super().read(plain)


def _has_plain_offset(value: datetime | time) -> bool:
    zone = value.tzinfo
    if zone is None:
        return True
    return type(zone) is timezone and not zone.utcoffset(None).total_seconds() % 60


PLAIN: dict[type, Node] = {
    NoneType: PlainNode(NoneType),
    bool: PlainNode(bool),
    str: PlainNode(str),
    int: IntNode(),
    float: FloatNode(),
    datetime: PlainNode(datetime, _has_plain_offset),
    date: PlainNode(date),
    time: PlainNode(time, _has_plain_offset),
    timedelta: PlainNode(timedelta),
    Decimal: PlainNode(Decimal),
    UUID: PlainNode(UUID),
    bytes: PlainNode(bytes),
}
"""The node of every such type."""


class PathNode(Node):
    """A path, written as its text."""

    def __init__(self, kind: type[PurePath]) -> None:
        """Make the node; `Path` stands for whatever class this platform makes of it."""
        self.kind = kind
        self.name = kind.__name__
        self._made = type(kind("."))

    def write(self, value: object) -> object:
        if not isinstance(value, self.kind):
            raise self.misfit(value)
        return str(value) if type(value) is self._made else untyped.write(value)

    def read(self, plain: object) -> object:
        if isinstance(plain, str):
            return self.kind(plain)
        value = untyped.read(plain)
        self.write(value)
        return value


class EnumNode(Node):
    """An Enum: the value of the member, where that leads back to it, else a tag."""

    def __init__(self, kind: type[Enum]) -> None:
        """Make the node."""
        self.kind = kind
        self.name = kind.__qualname__
        self._plain_types: set[type] = {type(member.value) for member in kind}

    def is_direct(self, seen: set[int]) -> bool:
        return not issubclass(self.kind, Flag) and self._plain_types in ({str}, {int})

    def fits(self, value: object) -> bool:
        if type(value) is not self.kind:
            return False
        inner = value.value
        return type(inner) is str or untyped.SMALLEST <= inner <= untyped.LARGEST

    def write(self, value: object) -> object:
        if type(value) is not self.kind:
            raise self.misfit(value)
        inner = value.value
        if type(inner) in (str, int, bool) and untyped.ANY.fits(inner):
            same = untyped.by_value(self.kind, inner)
            if same is value or same == value:
                return inner
        # Not by its class, which this annotation names already.
        name = cast("str | None", value.name)  # None for a combination of flags without one
        return {"$value": inner} if name is None else {"$name": name}

    def read(self, plain: object) -> object:
        tagged = cast("dict[str, object]", plain) if isinstance(plain, dict) else None
        try:
            if tagged is not None:
                if list(tagged) == ["$name"]:
                    return self.kind[str(tagged["$name"])]
                if list(tagged) == ["$value"]:
                    return self.kind(tagged["$value"])
                value = untyped.read(tagged, (self.kind,))
                self.write(value)
                return value
            return self.kind(plain)
        except (ValueError, KeyError):
            names = ", ".join(shown(member.value) for member in list(self.kind)[:10])
            raise Misfit(cast("Any", plain), f"{self.name} (one of {names})") from None


class LiteralNode(Node):
    """One of a few values."""

    def __init__(self, options: tuple[object, ...]) -> None:
        """Make the node."""
        self.options = options
        self.name = f"one of {', '.join(map(shown, options))}"

    def is_direct(self, seen: set[int]) -> bool:
        kinds = {type(option) for option in self.options}
        return kinds <= {str, NoneType} or kinds <= {int, NoneType}

    def fits(self, value: object) -> bool:
        return self._has(value)

    def write(self, value: object) -> object:
        if not self._has(value):
            raise self.misfit(value)
        return untyped.write(value)

    def read(self, plain: object) -> object:
        kinds = [type(option) for option in self.options]
        value = untyped.read(plain, kinds)
        if self._has(value):
            return value
        for option in self.options:
            if isinstance(option, Enum) and type(plain) is str and option.name == plain:
                return option
        raise self.misfit(plain)

    def _has(self, value: object) -> bool:
        return any(type(value) is type(option) and value == option for option in self.options)
