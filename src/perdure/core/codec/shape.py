"""A shape: a type annotation, compiled once, that writes and reads values.

Two ways lead through a shape, and they must agree:

- The direct way, for the hot path: msgspec alone writes a value of which `Node.fits` says that
  nothing of it is lost, and msgspec's typed decoder reads and validates it in one go.
- The slow way: the nodes write a value piece by piece, with tags where JSON does not have a type,
  and read it again from parsed JSON.

They agree by one rule: text that contains `"$` (a tag, or anything that could be one) is never
read the direct way. What msgspec refuses is read the slow way too: it may be right after all, and
if not, the slow way knows the path.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cached_property, lru_cache
from pathlib import PurePath
from types import NoneType
from typing import Any, cast

import msgspec

from perdure.core.codec.containers import (
    CheckedNode,
    DictNode,
    ListNode,
    OpaqueNode,
    OptionalNode,
    SetNode,
    TupleNode,
    UnionNode,
)
from perdure.core.codec.findings import one_pass
from perdure.core.codec.models import ModelNode
from perdure.core.codec.node import Node
from perdure.core.codec.plain import PLAIN, EnumNode, LiteralNode, PathNode
from perdure.core.codec.records import record_node
from perdure.core.codec.trouble import Unreadable, shown
from perdure.core.codec.untyped import ANY
from perdure.core.errors import DeclarationError

_to_json = msgspec.json.Encoder().encode
_from_json: Callable[[str], object] = msgspec.json.Decoder(Any).decode


class Shape:
    """A type annotation that values are written by and read back by.

    Attributes:
        annotation: The annotation.
        node: What it says, place by place.
        is_direct: Whether msgspec alone can do the work for most values.
        decode: Its decoder then, for text without `"$`; None if it cannot.
        name: The annotation as people write it.
    """

    __slots__ = ("_fits", "annotation", "decode", "is_direct", "name", "node")

    def __init__(self, annotation: object) -> None:
        """Compile an annotation; `Shape.of` remembers what it compiled.

        Raises:
            DeclarationError: The annotation is not a type.
        """
        self.annotation = annotation
        self.node = node_of(annotation)
        self.name = self.node.name
        self.decode = self._direct_decoder()
        self.is_direct = self.decode is not None
        self._fits = self.node.fits if self.is_direct else _never

    @staticmethod
    def of(annotation: object) -> Shape:
        """The compiled form of an annotation; `Any` or `inspect.Parameter.empty` for none.

        Raises:
            DeclarationError: The annotation is not a type.
        """
        try:
            return _shape(annotation)
        except TypeError:  # not hashable, so not to be remembered
            return Shape(annotation)

    def _direct_decoder(self) -> Callable[[str], object] | None:
        if not self.node.is_direct(set()):
            return None
        try:
            decoder = msgspec.json.Decoder(cast("type[object]", self.annotation))
        except Exception:  # noqa: BLE001 - what msgspec does not take goes the slow way
            return None
        return decoder.decode

    def write(self, value: object) -> str:
        """JSON text of a value.

        Raises:
            Trouble: It does not fit, or cannot be written down.
        """
        if self._fits(value):
            return _to_json(value).decode()
        return _to_json(one_pass(self.node.write, value)).decode()

    def read(self, text: str) -> object:
        """The value that `write` was given.

        Raises:
            Trouble: The text does not fit, or is damaged.
        """
        if '"$' not in text:
            if self.decode is not None:
                try:
                    return self.decode(text)
                except Exception:  # noqa: BLE001, S110 - the slow way says what is wrong
                    pass
            elif isinstance(self.node, ModelNode):
                return self.node.read_text(text)
        return one_pass(self.node.read, parse(text))


def parse(text: str) -> object:
    """JSON text as plain values.

    Raises:
        Unreadable: It is not JSON.
    """
    try:
        return _from_json(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise Unreadable(f"{shown(text)} is not JSON: {error}") from None


def _never(_value: object) -> bool:
    return False


@lru_cache(maxsize=4096)
def _shape(annotation: object) -> Shape:
    return Shape(annotation)


# --- From annotations to nodes -------------------------------------------------------------------


def node_of(annotation: Any) -> Node:
    """Compile an annotation.

    Raises:
        DeclarationError: It is not a type.
    """
    if annotation is None:
        annotation = NoneType
    plain = PLAIN.get(annotation) if isinstance(annotation, type) else None
    if plain is not None:
        return plain
    if annotation in (Any, object, inspect.Parameter.empty, typing.NoReturn, typing.Never):
        return ANY
    if isinstance(annotation, str | typing.ForwardRef):
        raise DeclarationError(f"the annotation {annotation!r} could not be resolved to a type")
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _node_of_generic(annotation, origin, typing.get_args(annotation))
    if isinstance(annotation, typing.NewType):
        return node_of(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return _node_of_variable(annotation)
    if hasattr(annotation, "__value__"):  # type X = …, from Python 3.12 on
        return AliasNode(cast("Any", annotation))
    if isinstance(annotation, type):
        return _node_of_class(cast("type[Any]", annotation))
    if annotation in _BARE:
        return ANY
    raise DeclarationError(f"{annotation!r} is not a type that values can have")


class AliasNode(Node):
    """type X = …: compiled when it is first needed, for it may name itself."""

    def __init__(self, alias: Any) -> None:
        """Make the node."""
        self.name = alias.__name__
        self._alias = alias

    @cached_property
    def inner(self) -> Node:
        """What it stands for."""
        return Shape.of(self._alias.__value__).node

    def write(self, value: object) -> object:
        return self.inner.write(value)

    def read(self, plain: object) -> object:
        return self.inner.read(plain)


_BARE_TUPLE: object = typing.Tuple  # noqa: UP006 - the old spelling, without arguments
_BARE: tuple[object, ...] = (typing.Union, typing.LiteralString)


def _node_of_variable(variable: typing.TypeVar) -> Node:
    if variable.__constraints__:
        return _node_of_union(variable.__constraints__)
    return ANY if variable.__bound__ is None else node_of(variable.__bound__)


def _node_of_class(cls: type[Any]) -> Node:
    if cls in _CONTAINERS:
        return _CONTAINERS[cls](ANY, ANY)
    if cls is tuple:
        return TupleNode((), ANY)
    if issubclass(cls, Enum):
        return EnumNode(cls)
    if issubclass(cls, PurePath):
        return PathNode(cls)
    if cls is msgspec.UnsetType:
        return OpaqueNode(cls)
    record = record_node(cls)
    if record is not None:
        return record
    is_protocol = getattr(cls, "_is_protocol", False)
    return OpaqueNode(cls, not is_protocol or getattr(cls, "_is_runtime_protocol", False))


def _node_of_generic(annotation: object, origin: Any, arguments: tuple[Any, ...]) -> Node:
    if origin is typing.Union or origin is types.UnionType:
        return _node_of_union(arguments)
    if origin is typing.Annotated:
        return _node_of_annotated(annotation, arguments)
    if origin is typing.Literal:
        return LiteralNode(arguments)
    if origin in (typing.Final, typing.ClassVar):
        return node_of(arguments[0])
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return TupleNode((), node_of(arguments[0]))
        if annotation is not _BARE_TUPLE and not any(map(_is_unpacked, arguments)):
            return TupleNode(tuple(map(node_of, arguments)), None)
        return TupleNode((), ANY)
    if origin in _CONTAINERS:
        inner = [node_of(argument) for argument in arguments]
        return _CONTAINERS[origin](*[*inner, ANY, ANY][:2])
    return node_of(origin)  # a generic class of the user's: its own annotations say the rest


def _is_unpacked(argument: object) -> bool:
    return isinstance(argument, typing.TypeVarTuple) or typing.get_origin(argument) is typing.Unpack


def _node_of_union(members: tuple[Any, ...]) -> Node:
    members = tuple(member for member in members if member is not msgspec.UnsetType)
    inner = [node_of(member) for member in members if member not in (None, NoneType)]
    if any(node is ANY for node in inner):
        return ANY
    if not inner:
        return PLAIN[NoneType]
    known = tuple(member for member in members if isinstance(member, type))
    node = inner[0] if len(inner) == 1 else UnionNode(tuple(inner), known)
    is_optional = len(inner) < len(members)
    return OptionalNode(node) if is_optional else node


def _node_of_annotated(annotation: object, arguments: tuple[Any, ...]) -> Node:
    inner = node_of(arguments[0])
    metadata = arguments[1:]
    if any(isinstance(item, msgspec.Meta) for item in metadata):
        return CheckedNode(inner, _msgspec_check(annotation))
    if any(type(item).__module__.split(".")[0] in _PYDANTIC for item in metadata):
        check = _pydantic_check(annotation)
        return inner if check is None else _IndirectNode(inner, check)
    return inner


_PYDANTIC = ("pydantic", "pydantic_core", "annotated_types")


class _IndirectNode(CheckedNode):
    """Constraints that msgspec does not know: never read the direct way."""

    def is_direct(self, seen: set[int]) -> bool:
        return False


def _msgspec_check(annotation: object) -> Callable[[object], None]:
    def check(value: object) -> None:
        msgspec.convert(value, cast("type[object]", annotation))

    return check


def _pydantic_check(annotation: object) -> Callable[[object], None] | None:
    import sys

    pydantic = sys.modules.get("pydantic")  # loaded, or its constraints would not be here
    if pydantic is None:
        return None
    adapter = pydantic.TypeAdapter(annotation)

    def check(value: object) -> None:
        adapter.validate_python(value, strict=True)

    return check


_CONTAINERS: dict[Any, Callable[[Node, Node], Node]] = {
    list: lambda item, _: ListNode(item),
    set: lambda item, _: SetNode(item, set, set),
    frozenset: lambda item, _: SetNode(item, frozenset, frozenset),
    dict: DictNode,
    collections.abc.Set: lambda item, _: SetNode(item, collections.abc.Set, set),
    collections.abc.MutableSet: lambda item, _: SetNode(item, collections.abc.MutableSet, set),
    collections.abc.Mapping: lambda key, item: DictNode(
        key, item, collections.abc.Mapping, "Mapping"
    ),
    collections.abc.MutableMapping: lambda key, item: DictNode(
        key, item, collections.abc.MutableMapping, "MutableMapping"
    ),
    collections.abc.Sequence: lambda item, _: ListNode(item, collections.abc.Sequence, "Sequence"),
    collections.abc.MutableSequence: lambda item, _: ListNode(
        item, collections.abc.MutableSequence, "MutableSequence"
    ),
    collections.abc.Collection: lambda item, _: ListNode(
        item, collections.abc.Collection, "Collection"
    ),
    collections.abc.Iterable: lambda item, _: ListNode(item, collections.abc.Iterable, "Iterable"),
}
"""How a node is made for each kind of container, from those of its arguments (ANY where none)."""
