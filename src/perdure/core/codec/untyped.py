"""Values where no annotation helps: what JSON has is written as it is, all else with a tag.

    (1, 2)                  {"$tuple": [1, 2]}
    {3, 1}                  {"$set": [1, 3]}            in the order of the written text
    {1: "a"}                {"$map": [[1, "a"]]}        a dict with keys that are not all text
    datetime(…)             {"$datetime": "2024-05-01T12:00:00+02:00", "zone": "Europe/Berlin"}
    float("nan")            {"$float": "nan"}
    2**64                   {"$int": "18446744073709551616"}     beyond 64 bits
    Color.RED               {"$enum": "shop:Color", "value": "red"}
    Order(id=1)             {"$object": "shop:Order", "value": {"id": 1}}
    ValueError("no")        {"$error": {"type": "builtins:ValueError", …}}
    {"$tuple": 1}           {"$$tuple": 1}              a user's own key gets one more "$"

Whatever is read back from a tag is checked to be of that kind, and a class named in the text is
looked up among those that are loaded (`names`), never imported.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import NoneType
from typing import Any, cast
from uuid import UUID

import msgspec

from perdure.core.codec.names import class_of, is_findable, name_of
from perdure.core.codec.node import Node
from perdure.core.codec.trouble import (
    MEND,
    Misfit,
    Trouble,
    Unreadable,
    Unwritable,
    shown,
    type_name,
)

SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1
"""Integers beyond 64 bits are written as text, because other readers of JSON would bend them."""

Plain = Any
"""Parsed JSON, or what msgspec writes as JSON without a loss."""

to_json = msgspec.json.encode
"""What is handed to it has to be lossless in JSON already."""


class AnyNode(Node):
    """No annotation, or one that says nothing: no validation."""

    def is_direct(self, seen: set[int]) -> bool:
        return True

    def fits(self, value: object) -> bool:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return True
        if kind is int:
            return SMALLEST <= cast("int", value) <= LARGEST
        if kind is float:
            return math.isfinite(cast("float", value))
        if kind is list:
            return self.fits_all(cast("list[object]", value))
        if kind is dict:
            items = cast("dict[object, object]", value)
            return all(map(is_plain_key, items)) and self.fits_all(items.values())
        return False

    def fits_all(self, values: Collection[object]) -> bool:
        kinds = set(map(type, values))
        if kinds <= _SIMPLE or kinds == {int}:
            return kinds != {int} or are_64_bit(values)
        return all(map(self.fits, values))

    def write(self, value: object) -> object:
        return write(value)

    def read(self, plain: object) -> object:
        return read(plain)


ANY = AnyNode()
_SIMPLE: set[type] = {str, bool, NoneType}


def are_64_bit(values: Collection[Any]) -> bool:
    """Whether all of these are exactly integers, and none is too large."""
    if not set(map(type, values)) <= {int}:
        return False
    return not values or (min(values) >= SMALLEST and max(values) <= LARGEST)


def write(value: object) -> Plain:
    """A value in terms that JSON has, tagged where JSON does not have it."""
    writer = _WRITERS.get(type(value))
    return writer(value) if writer is not None else _write_other(value)


def read(plain: Plain, known: Iterable[type] = ()) -> Any:
    """The value that `write` was given; `known`: classes that need not be looked up by name."""
    if type(plain) is dict:
        return _read_dict(cast("dict[str, Plain]", plain), known)
    if type(plain) is list:
        return _items(plain, known)
    return plain


def in_order(plains: Iterable[Plain]) -> list[Plain]:
    """The written members of a set in an order that does not depend on their hashes."""
    return sorted(plains, key=to_json)


# --- Writing -----------------------------------------------------------------------------------


def is_plain_key(key: object) -> bool:
    """Whether a key can stand in a JSON object as it is."""
    return type(key) is str and not key.startswith("$")


def _same(value: object) -> Plain:
    return value


def _write_int(value: Any) -> Plain:
    if SMALLEST <= value <= LARGEST:
        return value
    return tag_int(value)


def tag_int(value: int) -> Plain:
    """An integer as text."""
    return {"$int": f"{Decimal(value):f}"}  # str() refuses more than 4300 digits


def _write_float(value: Any) -> Plain:
    return value if math.isfinite(value) else {"$float": repr(value)}


def _write_list(value: Any) -> Plain:
    written: list[Plain] = []
    try:
        for item in value:
            written.append(write(item))  # noqa: PERF401 - its length says where the trouble is
    except Trouble as trouble:
        trouble.parts.append(f"[{len(written)}]")
        raise
    return written


def _write_dict(value: Any) -> Plain:
    if not all(type(key) is str for key in value):
        return {"$map": _write_pairs(value)}
    written: dict[str, Plain] = {}
    for key, item in value.items():
        try:
            written["$" + key if key.startswith("$") else key] = write(item)
        except Trouble as trouble:
            trouble.parts.append(f"[{key_shown(key)}]")
            raise
    return written


def _write_pairs(value: Any) -> list[list[Plain]]:
    pairs: list[list[Plain]] = []
    for key, item in value.items():
        try:
            pairs.append([write(key), write(item)])
        except Trouble as trouble:
            trouble.parts.append(f"[{key_shown(key)}]")
            raise
    return pairs


def key_shown(key: object) -> str:
    """A key as it stands in a path: ["rows"], [3]."""
    if type(key) is str and len(key) <= 60 and '"' not in key and key.isprintable():
        return f'"{key}"'
    return shown(key)


def _write_members(value: Any) -> list[Plain]:
    written: list[Plain] = []
    for item in value:
        try:
            written.append(write(item))
        except Trouble as trouble:
            trouble.parts.append("{...}")
            raise
    return in_order(written)


def _write_datetime(value: Any) -> Plain:
    tagged = {"$datetime": value.isoformat()}
    zone = getattr(value.tzinfo, "key", None)
    if isinstance(zone, str):
        tagged["zone"] = zone
    return tagged


def _write_path(value: Any) -> Plain:
    if isinstance(value, Path):
        return {"$path": str(value)}
    return {"$path": str(value), "kind": type(value).__name__}


def _write_defaultdict(value: Any) -> Plain:
    factory = value.default_factory
    name = None if factory is None else getattr(factory, "__name__", "")
    if name is not None and _FACTORIES.get(name) is not factory:
        raise Unwritable(
            "a defaultdict whose default is made by code of its own; use dict(value) instead"
        )
    return {"$defaultdict": _write_pairs(value), "default": name}


def _write_other(value: object) -> Plain:
    """What has no exact entry in the table: enums, records and errors; everything else is refused.

    Subclasses of what is in the table are refused as well: they would come back as their base.
    """
    cls = type(value)
    if isinstance(value, Enum):
        return _write_enum(value)
    if isinstance(value, BaseException):
        from perdure.core.codec.failures import write_error

        return {"$error": write_error(value)}
    from perdure.core.codec.records import record_node  # the other half of one recursion

    node = record_node(cls)
    if node is not None:
        _must_be_findable(cls)
        plain, loose = node.write_loose(value)
        tagged = {"$object": name_of(cls), "value": plain}
        if loose:
            tagged["loose"] = loose
        return tagged
    raise Unwritable(f"a value of type {type_name(cls)}; {_advice(value)}")


def _write_enum(value: Enum) -> Plain:
    cls = type(value)
    _must_be_findable(cls)
    inner = value.value
    if type(inner) in (str, int, bool, float) and by_value(cls, inner) is value:
        return {"$enum": name_of(cls), "value": write(inner)}
    return {"$enum": name_of(cls), "name": value.name}


def by_value(cls: type[Enum], inner: object) -> Enum | None:
    """The member with this value, or None."""
    try:
        return cls(inner)
    except ValueError:
        return None


def _must_be_findable(cls: type) -> None:
    if not is_findable(cls):
        raise Unwritable(
            f"the class {type_name(cls)} cannot be found by its name again; define it at the top "
            "level of its module, or annotate this place with it"
        )


def _advice(value: object) -> str:
    for base in _BASES:
        if isinstance(value, base):
            return f"use {base.__name__}(...) of it, which is what would come back"
    if isinstance(value, complex):
        return "use a tuple of two floats"
    if callable(value):
        return f"code is not data: {MEND}"
    if hasattr(value, "__next__") or hasattr(value, "__anext__"):
        return "what is read only once is not data: use list(...) of it"
    if hasattr(value, "__await__"):
        return "await it, and use what it gives"
    return MEND


_BASES = (int, float, str, bytes, list, dict, tuple, set, frozenset, datetime, date, Decimal)

_FACTORIES: dict[str, Callable[[], object]] = {
    made.__name__: made for made in (list, dict, set, int, float, str, tuple, bool)
}

_WRITERS: dict[type, Callable[[Any], Plain]] = {
    NoneType: _same,
    bool: _same,
    str: _same,
    int: _write_int,
    float: _write_float,
    list: _write_list,
    dict: _write_dict,
    tuple: lambda value: {"$tuple": _write_list(value)},
    set: lambda value: {"$set": _write_members(value)},
    frozenset: lambda value: {"$frozenset": _write_members(value)},
    deque: lambda value: {"$deque": _write_list(value), "maxlen": value.maxlen},
    OrderedDict: lambda value: {"$ordered": _write_pairs(value)},
    Counter: lambda value: {"$counter": _write_pairs(value)},
    defaultdict: _write_defaultdict,
    datetime: _write_datetime,
    date: lambda value: {"$date": value.isoformat()},
    time: lambda value: {"$time": value.isoformat()},
    timedelta: lambda value: {"$timedelta": msgspec.to_builtins(value)},
    Decimal: lambda value: {"$decimal": str(value)},
    UUID: lambda value: {"$uuid": str(value)},
    bytes: lambda value: {"$bytes": b64encode(value).decode()},
    bytearray: lambda value: {"$bytearray": b64encode(value).decode()},
    PosixPath: _write_path,
    WindowsPath: _write_path,
    PurePosixPath: _write_path,
    PureWindowsPath: _write_path,
}


# --- Reading -----------------------------------------------------------------------------------


def _read_item(plain: Plain, key: object, known: Iterable[type]) -> Any:
    try:
        return read(plain, known)
    except Trouble as trouble:
        trouble.parts.append(f"[{key_shown(key)}]")
        raise


def _read_dict(plain: dict[str, Plain], known: Iterable[type]) -> Any:
    value: dict[str, Any] = {}
    for key, item in plain.items():
        if key.startswith("$"):
            if not key.startswith("$$"):
                return _read_tag(plain, known)
            key = key[1:]
        value[key] = _read_item(item, key, known)
    return value


def _read_tag(plain: dict[str, Plain], known: Iterable[type]) -> Any:
    tag = next(iter(plain))
    reader = _READERS.get(tag)
    if reader is None or not _SIDES.get(tag, frozenset()).issuperset(list(plain)[1:]):
        raise Unreadable(
            f"{shown(plain)} is not a tag that this version knows (a key of your own that begins "
            'with "$" is written with one more)'
        )
    try:
        return reader(plain[tag], plain, known)
    except Trouble:
        raise
    except Exception as error:
        raise Unreadable(f"{shown(plain)} is damaged: {error}") from error


def _text(body: Plain) -> str:
    if not isinstance(body, str):
        raise Unreadable(f"{shown(body)} should be text")
    return body


def _items(body: Plain, known: Iterable[type]) -> list[Any]:
    if not isinstance(body, list):
        raise Unreadable(f"{shown(body)} should be a list")
    return [_read_item(item, index, known) for index, item in enumerate(cast("list[object]", body))]


def _pairs(body: Plain, known: Iterable[type]) -> list[tuple[Any, Any]]:
    pairs = _items(body, known)
    if not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise Unreadable(f"{shown(body)} should be a list of pairs")
    return [(key, item) for key, item in pairs]


def _read_int(body: Plain) -> int:
    digits = _text(body)
    if not digits.removeprefix("-").isdecimal():
        raise Unreadable(f"{shown(digits)} is not a whole number")
    return int(Decimal(digits))


def _read_float(body: Plain) -> float:
    if body not in ("nan", "inf", "-inf"):
        raise Unreadable(f"{shown(body)} is not nan, inf or -inf")
    return float(body)


def _read_datetime(body: Plain, zone: Plain) -> datetime:
    value = datetime.fromisoformat(_text(body))
    if zone is None:
        return value
    from zoneinfo import ZoneInfo

    try:
        return value.astimezone(ZoneInfo(_text(zone)))
    except (KeyError, ValueError, OSError):
        return value  # this host has no data for the zone; the instant and the offset are right


def _read_path(body: Plain, kind: Plain) -> PurePath:
    kinds = {"PurePosixPath": PurePosixPath, "PureWindowsPath": PureWindowsPath}
    return Path(_text(body)) if kind is None else kinds[kind](_text(body))


def _read_enum(name: Plain, side: dict[str, Plain], known: Iterable[type]) -> Enum:
    cls = _loaded(name, known)
    if not issubclass(cls, Enum):
        raise Unreadable(f"{name} is not an Enum")
    return cls[_text(side["name"])] if "name" in side else cls(read(side["value"]))


def _read_object(name: Plain, side: dict[str, Plain], known: Iterable[type]) -> object:
    from perdure.core.codec.records import record_node

    node = record_node(_loaded(name, known))
    if node is None:
        raise Unreadable(f"{name} is not a dataclass, a struct or a model")
    try:
        return node.read_loose(side["value"], side.get("loose", {}))
    except Misfit as misfit:
        unreadable = Unreadable(f"{misfit.text} does not fit {misfit.expected}")
        unreadable.parts = misfit.parts
        raise unreadable from None


def _loaded(name: Plain, known: Iterable[type]) -> type:
    cls = class_of(_text(name), known)
    if cls is None:
        raise Unreadable(f"the class {name} is not loaded here; import its module first")
    return cls


def _read_error(body: Plain) -> BaseException:
    from perdure.core.codec.failures import read_error

    return read_error(body)


def _read_defaultdict(body: Plain, default: Plain, known: Iterable[type]) -> object:
    factory = None if default is None else _FACTORIES[_text(default)]
    return defaultdict(factory, _pairs(body, known))


_READERS: dict[str, Callable[[Plain, dict[str, Plain], Iterable[type]], Any]] = {
    "$tuple": lambda body, _, known: tuple(_items(body, known)),
    "$set": lambda body, _, known: set(_items(body, known)),
    "$frozenset": lambda body, _, known: frozenset(_items(body, known)),
    "$deque": lambda body, side, known: deque(_items(body, known), side.get("maxlen")),
    "$map": lambda body, _, known: dict(_pairs(body, known)),
    "$ordered": lambda body, _, known: OrderedDict(_pairs(body, known)),
    "$counter": lambda body, _, known: Counter(dict(_pairs(body, known))),
    "$defaultdict": lambda body, side, known: _read_defaultdict(body, side.get("default"), known),
    "$int": lambda body, _, __: _read_int(body),
    "$float": lambda body, _, __: _read_float(body),
    "$datetime": lambda body, side, _: _read_datetime(body, side.get("zone")),
    "$date": lambda body, _, __: date.fromisoformat(_text(body)),
    "$time": lambda body, _, __: time.fromisoformat(_text(body)),
    "$timedelta": lambda body, _, __: msgspec.convert(_text(body), timedelta),
    "$decimal": lambda body, _, __: Decimal(_text(body)),
    "$uuid": lambda body, _, __: UUID(_text(body)),
    "$bytes": lambda body, _, __: b64decode(_text(body), validate=True),
    "$bytearray": lambda body, _, __: bytearray(b64decode(_text(body), validate=True)),
    "$path": lambda body, side, _: _read_path(body, side.get("kind")),
    "$enum": _read_enum,
    "$object": _read_object,
    "$error": lambda body, _, __: _read_error(body),
}
_SIDES: dict[str, frozenset[str]] = {
    "$deque": frozenset({"maxlen"}),
    "$defaultdict": frozenset({"default"}),
    "$datetime": frozenset({"zone"}),
    "$path": frozenset({"kind"}),
    "$enum": frozenset({"value", "name"}),
    "$object": frozenset({"value", "loose"}),
}
