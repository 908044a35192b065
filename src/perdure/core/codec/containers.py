"""Nodes for what holds other values: lists, tuples, sets, dicts, unions; and for all other classes.

A container whose annotation names it exactly is written without a tag. Where an annotation leaves
the kind open (`Sequence[int]`, `list[int] | tuple[int, ...]`), the value is checked against it and
then written with the tags that tell its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from perdure.core.codec import untyped
from perdure.core.codec.findings import once
from perdure.core.codec.node import Node
from perdure.core.codec.trouble import Misfit, Trouble, Unreadable, Unwritable, shown, type_name


class ListNode(Node):
    """list[T], or an abstract sequence or iterable of T."""

    def __init__(self, item: Node, kind: type = list, name: str = "list") -> None:
        """Make the node; `kind`: what the value must be an instance of."""
        self.item = item
        self.kind = kind
        self.name = f"{name}[{item.name}]"

    def is_direct(self, seen: set[int]) -> bool:
        return self.item.is_direct(seen)

    def fits(self, value: object) -> bool:
        return type(value) is list and self.item.fits_all(cast("list[object]", value))

    def write(self, value: object) -> object:
        if not isinstance(value, self.kind) or isinstance(value, str | bytes):
            raise self.misfit(value)
        if not isinstance(value, Collection):
            return untyped.write(value)  # refused; looking into a generator would use it up
        written = write_items(self.item, value)
        is_list = isinstance(cast("object", value), list)
        return written if is_list else untyped.write(cast("Any", value))

    def read(self, plain: object) -> object:
        if isinstance(plain, list):
            return read_items(self.item, cast("list[object]", plain))
        return from_tag(self, plain)


class TupleNode(Node):
    """tuple[A, B] or tuple[T, ...], written as a list."""

    def __init__(self, items: tuple[Node, ...], rest: Node | None) -> None:
        """Make the node; `rest`: what all items are where their number is open."""
        self.items = items
        self.rest = rest
        inner = ", ".join(item.name for item in items) if rest is None else f"{rest.name}, ..."
        self.name = f"tuple[{inner or '()'}]"

    def is_direct(self, seen: set[int]) -> bool:
        parts = self.items if self.rest is None else (self.rest,)
        return all(part.is_direct(seen) for part in parts)

    def fits(self, value: object) -> bool:
        if type(value) is not tuple:
            return False
        items = cast("tuple[object, ...]", value)
        if self.rest is not None:
            return self.rest.fits_all(items)
        return len(items) == len(self.items) and all(
            node.fits(item) for node, item in zip(self.items, items, strict=True)
        )

    def write(self, value: object) -> object:
        if not isinstance(value, tuple):
            raise self.misfit(value)
        items = cast("tuple[object, ...]", value)
        written = [
            _at_index(node.write, item, index)
            for index, (node, item) in enumerate(zip(self._nodes(items), items, strict=True))
        ]
        return written if type(items) is tuple else untyped.write(items)

    def read(self, plain: object) -> object:
        if not isinstance(plain, list):
            return from_tag(self, plain)
        items = cast("list[object]", plain)
        return tuple(
            _at_index(node.read, item, index)
            for index, (node, item) in enumerate(zip(self._nodes(items), items, strict=True))
        )

    def _nodes(self, items: list[object] | tuple[object, ...]) -> tuple[Node, ...]:
        if self.rest is not None:
            return (self.rest,) * len(items)
        if len(items) != len(self.items):
            raise self.misfit(items)
        return self.items


class SetNode(Node):
    """set[T], frozenset[T] or an abstract set, written as a list in the order of the written text."""

    def __init__(self, item: Node, kind: type, made: type[set[Any] | frozenset[Any]]) -> None:
        """Make the node; `kind`: what the value must be; `made`: what a list without a tag gives."""
        self.item = item
        self.kind = kind
        self.made = made
        self.name = f"{kind.__name__}[{item.name}]"

    def write(self, value: object) -> object:
        if not isinstance(value, self.kind):
            raise self.misfit(value)
        members = cast("set[object]", value)
        written: list[object] = []
        for member in members:
            try:
                written.append(self.item.write(member))
            except Trouble as trouble:
                trouble.parts.append("{...}")
                raise
        return untyped.in_order(written) if type(members) is self.made else untyped.write(value)

    def read(self, plain: object) -> object:
        if not isinstance(plain, list):
            return from_tag(self, plain)
        items = read_items(self.item, cast("list[object]", plain))
        try:
            return self.made(items)
        except TypeError as error:
            raise Unreadable(f"{shown(items)} is no set: {error}") from None


class DictNode(Node):
    """dict[K, V], or an abstract mapping: a JSON object where all keys are written as text.

    With keys that are `str` an object here is always a plain dict, so its keys need no escape.
    """

    def __init__(self, key: Node, item: Node, kind: type = dict, name: str = "dict") -> None:
        """Make the node; `kind`: what the value must be an instance of."""
        self.key = key
        self.item = item
        self.kind = kind
        self.name = f"{name}[{key.name}, {item.name}]"
        self.is_raw = kind is dict and key.name == "str"
        self._is_escaped = not self.is_raw and key.name != "int"

    def is_direct(self, seen: set[int]) -> bool:
        return self.key.name in ("str", "int") and self.item.is_direct(seen)

    def fits(self, value: object) -> bool:
        if type(value) is not dict:
            return False
        items = cast("dict[Any, object]", value)
        if self._is_escaped and not all(map(untyped.is_plain_key, items)):
            return False
        return self.key.fits_all(items) and self.item.fits_all(items.values())

    def write(self, value: object) -> object:
        if not isinstance(value, self.kind):
            raise self.misfit(value)
        given = cast("Mapping[Any, object]", value)
        pairs = [self._write_pair(key, item) for key, item in given.items()]
        if not isinstance(value, dict):
            return untyped.write(value)
        keys = [key for key, _ in pairs]
        if self.key.name == "int" and all(type(key) is int for key in keys):
            return {str(key): item for key, item in pairs}
        if self.is_raw:
            return dict(zip(map(str.__str__, given), (item for _, item in pairs), strict=True))
        if all(map(untyped.is_plain_key, keys)):
            return dict(pairs)
        return {"$map": [list(pair) for pair in pairs]}

    def read(self, plain: object) -> object:
        if not isinstance(plain, dict):
            raise self.misfit(plain)
        given = cast("dict[str, object]", plain)
        if not self.is_raw and _has_tag(list(given)):
            return self._read_map(given)
        pairs = [self._read_pair(key, item) for key, item in given.items()]
        return dict(pairs)

    def _read_map(self, given: dict[str, object]) -> object:
        pairs = given.get("$map")
        if not isinstance(pairs, list):
            return from_tag(self, given)
        try:
            return {
                self.key.read(key): self.item.read(item)
                for key, item in cast("list[list[object]]", pairs)
            }
        except (TypeError, ValueError) as error:
            raise Unreadable(f"{shown(given)} is no dict: {error}") from None

    def _write_pair(self, key: object, item: object) -> tuple[Any, object]:
        try:
            return self._key(self.key.write, key), self.item.write(item)
        except Trouble as trouble:
            trouble.parts.append(f"[{untyped.key_shown(key)}]")
            raise

    def _read_pair(self, key: str, item: object) -> tuple[Any, object]:
        read = _read_int_key if self.key.name == "int" else self.key.read
        try:
            return self._key(read, key), self.item.read(item)
        except Trouble as trouble:
            trouble.parts.append(f"[{untyped.key_shown(key)}]")
            raise

    def _key(self, turn: Callable[[Any], object], key: object) -> object:
        try:
            return turn(key)
        except Misfit as misfit:
            raise Misfit(key, f"a key that is {misfit.expected}") from None


class OptionalNode(Node):
    """T | None."""

    def __init__(self, inner: Node) -> None:
        """Make the node."""
        self.inner = inner
        self.name = f"{inner.name} | None"
        self.is_raw = inner.is_raw

    def is_direct(self, seen: set[int]) -> bool:
        return self.inner.is_direct(seen)

    def fits(self, value: object) -> bool:
        return value is None or self.inner.fits(value)

    def write(self, value: object) -> object:
        return None if value is None else self._inner(self.inner.write, value)

    def read(self, plain: object) -> object:
        return None if plain is None else self._inner(self.inner.read, plain)

    def _inner(self, turn: Callable[[Any], object], value: object) -> object:
        try:
            return turn(value)
        except Misfit as misfit:
            if not misfit.parts:
                misfit.expected += " | None"
            raise


class UnionNode(Node):
    """A | B | …: any value that one of them accepts, written so that it tells its own kind."""

    def __init__(self, members: tuple[Node, ...], known: tuple[type, ...]) -> None:
        """Make the node; `known`: the members that are classes, which tags may name."""
        self.members = members
        self.known = known
        self.name = " | ".join(member.name for member in members)

    def is_direct(self, seen: set[int]) -> bool:
        # Not where a member is itself a container: its text could be taken for another member's.
        return all(
            not isinstance(member, ListNode | TupleNode | SetNode | DictNode | untyped.AnyNode)
            and member.is_direct(seen)
            for member in self.members
        )

    def fits(self, value: object) -> bool:
        return any(member.fits(value) for member in self.members)

    @once
    def write(self, value: object) -> object:
        self._accept(value)
        try:
            return untyped.write(value)
        except Unwritable:
            return self._write_known(value)

    @once
    def read(self, plain: object) -> object:
        try:
            value = untyped.read(plain, self.known)
            self._accept(value)
        except (Misfit, Unreadable):
            return self._read_as_member(plain)
        return value

    def _accept(self, value: object) -> None:
        last: Misfit | None = None
        for member in self.members:
            try:
                member.write(value)
            except Misfit as misfit:
                last = misfit if misfit.parts else last
            else:
                return
        raise last if last is not None else self.misfit(value)

    def _write_known(self, value: object) -> object:
        """A record whose class no name leads to, but which this annotation knows."""
        from perdure.core.codec.names import name_of
        from perdure.core.codec.records import record_node

        node = record_node(type(value)) if type(value) in self.known else None
        if node is None:
            raise Unwritable(f"a value of type {type_name(type(value))} in a union")
        plain, loose = node.write_loose(value)
        tagged = {"$object": name_of(type(value)), "value": plain}
        return {**tagged, "loose": loose} if loose else tagged

    def _read_as_member(self, plain: object) -> object:
        """As the first member that reads it and knows all its fields, or else as the first."""
        from perdure.core.codec.strangers import has_strangers

        values: list[object] = []
        last: Trouble | None = None
        for member in self.members:
            try:
                value = member.read(plain)
            except Misfit as misfit:
                last = misfit if misfit.parts and last is None else last
            except Unreadable as unreadable:
                last = unreadable
            else:
                if not has_strangers(member, plain):
                    return value
                values.append(value)
        if values:
            return values[0]
        raise last if last is not None else self.misfit(plain)


class OpaqueNode(Node):
    """Any other class: its instances are written with tags, if they can be written at all."""

    def __init__(self, kind: type, is_checkable: bool = True) -> None:
        """Make the node; `is_checkable`: whether isinstance() means something for it."""
        self.kind = kind
        self.name = kind.__qualname__
        self._is_checkable = is_checkable

    def write(self, value: object) -> object:
        if self._is_checkable and not isinstance(value, self.kind):
            raise self.misfit(value)
        return untyped.write(value)

    def read(self, plain: object) -> object:
        value = untyped.read(plain, (self.kind,))
        if self._is_checkable and not isinstance(value, self.kind):
            # An error whose class cannot be rebuilt here comes back as a StepError.
            if issubclass(self.kind, BaseException) and isinstance(value, BaseException):
                return value
            raise self.misfit(value)
        return value


class CheckedNode(Node):
    """Annotated[T, …] with constraints that msgspec or pydantic check."""

    def __init__(self, inner: Node, check: Callable[[object], None]) -> None:
        """Make the node; `check` raises ValueError for what does not satisfy the constraints."""
        self.inner = inner
        self.name = inner.name
        self.is_raw = inner.is_raw
        self._check = check

    def is_direct(self, seen: set[int]) -> bool:
        return self.inner.is_direct(seen)

    def fits(self, value: object) -> bool:
        if not self.inner.fits(value):
            return False
        try:
            self._check(value)
        except ValueError:
            return False
        return True

    def write(self, value: object) -> object:
        written = self.inner.write(value)
        self._satisfy(value)
        return written

    def read(self, plain: object) -> object:
        value = self.inner.read(plain)
        self._satisfy(value)
        return value

    def _satisfy(self, value: object) -> None:
        try:
            self._check(value)
        except ValueError as error:
            raise Misfit(value, f"{self.name}: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """What an error of a validator says, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def from_tag(node: Node, plain: object, known: tuple[type, ...] = ()) -> object:
    """A value that was written with a tag where `node` stands."""
    value = untyped.read(plain, known)
    node.write(value)
    return value


def write_items(item: Node, values: Any) -> list[object]:
    """The items of a sequence, each written."""
    return [_at_index(item.write, value, index) for index, value in enumerate(values)]


def read_items(item: Node, plains: list[object]) -> list[object]:
    """The items of a JSON array, each read."""
    return [_at_index(item.read, plain, index) for index, plain in enumerate(plains)]


def _at_index(turn: Callable[[Any], object], value: object, index: int) -> object:
    try:
        return turn(value)
    except Trouble as trouble:
        trouble.parts.append(f"[{index}]")
        raise


def _has_tag(keys: list[str]) -> bool:
    return any(key.startswith("$") for key in keys)


def _read_int_key(key: str) -> int:
    if not key.removeprefix("-").isdecimal() or len(key) > 20:
        raise Misfit(key, "int")
    return int(key)
