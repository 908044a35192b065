"""Nodes for classes with named fields: dataclasses, structs, named tuples, typed dicts.

A record is written as a JSON object of its fields (a named tuple as a list), each by the annotation
of its field, and read back through its own constructor, so that what the class checks is checked.
Pydantic models are records as well, in `models`.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec

from perdure.core.codec import untyped
from perdure.core.codec.containers import first_line, from_tag
from perdure.core.codec.names import names_around
from perdure.core.codec.node import Node
from perdure.core.codec.trouble import Misfit, Missing, Trouble, Unwritable
from perdure.core.errors import DeclarationError

_GONE: Any = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A field of a record: its name in Python, its key in JSON, what it holds."""

    name: str
    key: str
    node: Node
    is_required: bool
    is_given: bool = True
    """Whether the constructor takes it; else it is set afterwards."""


class RecordNode(Node):
    """A class with named fields; the kinds differ in how fields are found and objects are made."""

    def __init__(self, cls: type) -> None:
        """Make the node; the fields are looked at when they are first needed, for a class may hold
        itself."""
        self.cls = cls
        self.name = cls.__qualname__
        self._fields: tuple[Field, ...] | None = None
        self._checks: tuple[tuple[str, Callable[[object], bool]], ...] | None = None

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields, in the order of the class."""
        if self._fields is None:
            self._fields = self._find_fields()
        return self._fields

    def _find_fields(self) -> tuple[Field, ...]:
        raise NotImplementedError

    def _make(self, values: dict[str, object]) -> object:
        """The object with these values of its fields, by name."""
        raise NotImplementedError

    def is_direct(self, seen: set[int]) -> bool:
        if id(self) in seen:
            return True
        seen.add(id(self))
        return all(field.node.is_direct(seen) for field in self.fields)

    def fits(self, value: object) -> bool:
        if type(value) is not self.cls:
            return False
        checks = self._checks
        if checks is None:
            checks = self._checks = tuple((field.name, field.node.fits) for field in self.fields)
        for name, fits in checks:  # noqa: SIM110 - a generator costs a microsecond here
            if not fits(getattr(value, name, _GONE)):
                return False
        return True

    def write(self, value: object) -> object:
        if type(value) is not self.cls:
            if not isinstance(value, self.cls):
                raise self.misfit(value)
            return untyped.write(value)
        return self._write_fields(value, None)

    def write_loose(self, value: object) -> tuple[object, dict[str, object]]:
        """The record where nothing is checked: fields that do not fit their annotation apart."""
        loose: dict[str, object] = {}
        return self._write_fields(value, loose), loose

    def _write_fields(self, value: object, loose: dict[str, object] | None) -> object:
        written: dict[str, object] = {}
        for field in self.fields:
            item = getattr(value, field.name, _GONE)
            if item is _GONE:
                raise Unwritable(f"a {self.name} without its field {field.name!r}")
            if item is msgspec.UNSET:
                continue
            try:
                written[field.key] = field.node.write(item)
            except Trouble as trouble:
                trouble.parts.append(f".{field.name}")
                if loose is None or not isinstance(trouble, Misfit):
                    raise
                loose[field.name] = _write_field(field, item)
        return written

    def read(self, plain: object) -> object:
        if not isinstance(plain, dict):
            raise self.misfit(plain)
        given = cast("dict[str, object]", plain)
        if "$object" in given:
            return from_tag(self, given, (self.cls,))
        return self._read_fields(given, {})

    def read_loose(self, plain: object, loose: Mapping[str, object]) -> object:
        """The record that `write_loose` wrote."""
        if not isinstance(plain, dict):
            raise self.misfit(plain)
        return self._read_fields(cast("dict[str, object]", plain), loose)

    def _read_fields(self, given: dict[str, object], loose: Mapping[str, object]) -> object:
        values: dict[str, object] = {}
        for field in self.fields:
            try:
                if field.name in loose:
                    values[field.name] = untyped.read(loose[field.name])
                elif field.key in given:
                    values[field.name] = field.node.read(given[field.key])
                elif field.is_required:
                    raise Missing(field.node.name)
            except Trouble as trouble:
                trouble.parts.append(f".{field.name}")
                raise
        try:
            return self._make(values)
        except Exception as error:  # noqa: BLE001 - whatever a class's own checks raise
            raise Misfit(given, f"{self.name}: {first_line(error)}") from None


class DataclassNode(RecordNode):
    """A dataclass."""

    def __init__(self, cls: type) -> None:
        """Make the node."""
        super().__init__(cls)
        self._own = dataclasses.fields(cls)
        taken = [field.name for field in self._own if field.init]
        try:
            parameters = list(inspect.signature(cls.__init__).parameters)[1:]  # type: ignore[misc]
        except (TypeError, ValueError):
            parameters = []
        # A constructor that takes anything else (an InitVar, one written by hand) cannot be called
        # with the fields alone: then the fields are set, as copying does.
        self._is_constructed = sorted(parameters) == sorted(taken)

    def is_direct(self, seen: set[int]) -> bool:
        return (
            self._is_constructed
            and not hasattr(self.cls, "__pydantic_validator__")
            and all(field.init for field in self._own)
            and super().is_direct(seen)
        )

    def _find_fields(self) -> tuple[Field, ...]:
        hints = hints_of(self.cls)
        gone = dataclasses.MISSING
        return tuple(
            Field(
                name=field.name,
                key=field.name,
                node=_compile(hints.get(field.name, Any)),
                is_required=field.init and field.default is gone and field.default_factory is gone,
                is_given=field.init,
            )
            for field in self._own
        )

    def _make(self, values: dict[str, object]) -> object:
        if self._is_constructed:
            given = {
                f.name: values.pop(f.name) for f in self.fields if f.is_given and f.name in values
            }
            made = cast("object", self.cls(**given))
        else:
            made = cast("object", object.__new__(self.cls))
            for field in self._own:
                if field.name not in values:
                    values[field.name] = _default(field)
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return made


class StructNode(RecordNode):
    """A msgspec struct."""

    def __init__(self, cls: type) -> None:
        """Make the node."""
        super().__init__(cls)
        config = cast("Any", cls).__struct_config__
        self._is_closed: bool = config.forbid_unknown_fields
        self._tag: tuple[str, object] | None = (
            None if config.tag is None else (config.tag_field, config.tag)
        )
        self.tag_field: str | None = None if self._tag is None else self._tag[0]

    def fits(self, value: object) -> bool:
        if type(value) is not self.cls:
            return False
        for field in self.fields:
            item = getattr(value, field.name, _GONE)
            if item is not msgspec.UNSET and not field.node.fits(item):
                return False
        return True

    def _find_fields(self) -> tuple[Field, ...]:
        hints = hints_of(self.cls)
        found = msgspec.structs.fields(cast("type[msgspec.Struct]", self.cls))
        return tuple(
            Field(
                name=field.name,
                key=field.encode_name,
                node=_compile(hints.get(field.name, Any)),
                is_required=field.required,
            )
            for field in found
        )

    def _write_fields(self, value: object, loose: dict[str, object] | None) -> object:
        written = cast("dict[str, object]", super()._write_fields(value, loose))
        return written if self._tag is None else {self._tag[0]: self._tag[1], **written}

    def read(self, plain: object) -> object:
        if isinstance(plain, list):  # array_like=True, as msgspec writes it
            items = cast("list[object]", plain)[0 if self._tag is None else 1 :]
            keys = [field.key for field in self.fields]
            return self._read_fields(dict(zip(keys, items, strict=False)), {})
        return super().read(plain)

    def _read_fields(self, given: dict[str, object], loose: Mapping[str, object]) -> object:
        if self._tag is not None and given.get(self._tag[0], self._tag[1]) != self._tag[1]:
            raise self.misfit(given)
        if self._is_closed:
            known = {field.key for field in self.fields}
            for key in given:
                if key not in known and (self._tag is None or key != self._tag[0]):
                    raise Misfit(key, f"{self.name}, which has no such field")
        return super()._read_fields(given, loose)

    def _make(self, values: dict[str, object]) -> object:
        return self.cls(**values)


class NamedTupleNode(RecordNode):
    """A named tuple, written as a list."""

    def _find_fields(self) -> tuple[Field, ...]:
        hints = hints_of(self.cls)
        defaults = cast("Any", self.cls)._field_defaults
        return tuple(
            Field(
                name=name,
                key=name,
                node=_compile(hints.get(name, Any)),
                is_required=name not in defaults,
            )
            for name in cast("Any", self.cls)._fields
        )

    def _write_fields(self, value: object, loose: dict[str, object] | None) -> object:
        written = cast("dict[str, object]", super()._write_fields(value, loose))
        return [written.get(field.key) for field in self.fields]

    def read(self, plain: object) -> object:
        if isinstance(plain, list):
            return self.read_loose(cast("list[object]", plain), {})
        return super().read(plain)

    def read_loose(self, plain: object, loose: Mapping[str, object]) -> object:
        """The named tuple that `write_loose` wrote."""
        if not isinstance(plain, list):
            raise self.misfit(plain)
        items = cast("list[object]", plain)
        if len(items) > len(self.fields):
            raise self.misfit(items)
        keys = [field.key for field in self.fields]
        return self._read_fields(dict(zip(keys, items, strict=False)), loose)

    def _make(self, values: dict[str, object]) -> object:
        return self.cls(**values)


class TypedDictNode(RecordNode):
    """A typed dict. Keys that it does not name are allowed (a wider typed dict is one, too)."""

    is_raw = True

    def is_direct(self, seen: set[int]) -> bool:
        return False  # msgspec would drop the keys that are not named

    def _find_fields(self) -> tuple[Field, ...]:
        # `__required_keys__` alone is wrong where annotations are still text when the class is made.
        required = cast("Any", self.cls).__required_keys__
        fields: list[Field] = []
        for name, hint in hints_of(self.cls).items():
            inner, is_required = hint, name in required
            while typing.get_origin(inner) is not None and typing.get_origin(inner) in _QUALIFIERS:
                says = _QUALIFIERS[typing.get_origin(inner)]
                is_required = is_required if says is None else says
                (inner,) = typing.get_args(inner)
            fields.append(Field(name=name, key=name, node=_compile(inner), is_required=is_required))
        return tuple(fields)

    def write(self, value: object) -> object:
        if not isinstance(value, dict):
            raise self.misfit(value)
        items = cast("dict[object, object]", value)
        written: dict[str, object] = {}
        fields = {field.key: field for field in self.fields}
        for key, item in items.items():
            if not isinstance(key, str):
                raise Misfit(key, f"a key of {self.name}, which is text")
            try:
                field = fields.get(key)
                written[key] = untyped.write(item) if field is None else field.node.write(item)
            except Trouble as trouble:
                trouble.parts.append(f"[{untyped.key_shown(key)}]")
                raise
        for field in self.fields:
            if field.is_required and field.key not in items:
                missing = Missing(field.node.name)
                missing.parts.append(f"[{untyped.key_shown(field.key)}]")
                raise missing
        return written

    def read(self, plain: object) -> object:
        if not isinstance(plain, dict):
            raise self.misfit(plain)
        return self._read_fields(cast("dict[str, object]", plain), {})

    def _read_fields(self, given: dict[str, object], loose: Mapping[str, object]) -> object:
        fields = {field.key: field for field in self.fields}
        values: dict[str, object] = {}
        for key, item in given.items():
            try:
                field = fields.get(key)
                values[key] = untyped.read(item) if field is None else field.node.read(item)
            except Trouble as trouble:
                trouble.parts.append(f"[{untyped.key_shown(key)}]")
                raise
        for field in self.fields:
            if field.is_required and field.key not in values:
                missing = Missing(field.node.name)
                missing.parts.append(f"[{untyped.key_shown(field.key)}]")
                raise missing
        return values


def record_node(cls: type) -> RecordNode | None:
    """The node of a class with named fields; None for any other class."""
    return _record_node(cast("Any", cls))


@lru_cache(maxsize=4096)
def _record_node(cls: Any) -> RecordNode | None:
    if is_model(cls):
        from perdure.core.codec.models import ModelNode

        return ModelNode(cls)
    if hasattr(cls, "__dataclass_fields__"):
        return DataclassNode(cls)
    bases = cls.__mro__
    if msgspec.Struct in bases:
        return StructNode(cls)
    if tuple in bases and hasattr(cls, "_fields") and hasattr(cls, "_make"):
        return NamedTupleNode(cls)
    if dict in bases and hasattr(cls, "__required_keys__"):
        return TypedDictNode(cls)
    return None


def is_model(cls: object) -> bool:
    """Whether a class is a pydantic model, told without importing pydantic."""
    return hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_dump_json")


def hints_of(cls: type) -> dict[str, Any]:
    """The annotations of a class, with names resolved.

    Raises:
        DeclarationError: One of them names something that is not there.
    """
    module = sys.modules.get(cls.__module__)
    known = {**names_around(cls.__qualname__), **vars(cls), cls.__name__: cls}
    try:
        return typing.get_type_hints(
            cls, vars(module) if module else None, known, include_extras=True
        )
    except Exception as error:  # noqa: BLE001 - an annotation is any expression
        raise DeclarationError(
            f"the annotations of {cls.__qualname__} cannot be understood: {error}; "
            "define what they name at the top level of the module"
        ) from None


def _write_field(field: Field, item: object) -> object:
    try:
        return untyped.write(item)
    except Trouble as trouble:
        trouble.parts.append(f".{field.name}")
        raise


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise ValueError(f"there is no value for its field {field.name!r}")


_QUALIFIERS: dict[Any, bool | None] = {
    typing.Required: True,
    typing.NotRequired: False,
    getattr(typing, "ReadOnly", None): None,  # from Python 3.13 on
}
"""What a typed dict may say about a key, and whether the key must then be there (None: as before)."""


def _compile(annotation: object) -> Node:
    from perdure.core.codec.shape import node_of  # the other half of one recursion

    compiler: Callable[[object], Node] = node_of
    return compiler(annotation)
