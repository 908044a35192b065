"""Values written down and read back: the same value, in text that a person can read."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import sys
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, NewType, Optional, Union
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.codec import ANYTHING, JSON, Codec, Shape, stands_for
from perdure.core.errors import ContractError, DecodingError, EncodingError
from tests.core.alike import alike
from tests.core.shop import (
    Account,
    Admin,
    Aliased,
    Box,
    Cat,
    Checked,
    Closed,
    Color,
    Computed,
    Dog,
    Frozen,
    Item,
    Limited,
    Mixed,
    Mode,
    Movie,
    Numbers,
    Order,
    Percent,
    Point,
    Right,
    Row,
    Rush,
    Secretive,
    Sign,
    Size,
    Sloppy,
    Strict,
    Tree,
    User,
)

NOON = datetime(2024, 5, 1, 12, 0, 0, 123456)
UserId = NewType("UserId", int)

VALUES: list[tuple[Any, Any]] = [
    (None, None),
    (bool, True),
    (int, 0),
    (int, -(2**63)),
    (int, 2**63),
    (int, 2**64),
    (int, 10**5000),
    (int, -(10**30)),
    (float, 1.5),
    (float, -0.0),
    (float, math.nan),
    (float, math.inf),
    (float, -math.inf),
    (float, 5e-324),
    (str, ""),
    (str, 'ü 🎉 \x00 \u2028 "$tuple"'),
    (bytes, b"\x00\xff"),
    (uuid.UUID, uuid.UUID(int=7)),
    (Decimal, Decimal("1.10")),
    (Decimal, Decimal("sNaN")),
    (date, date(1, 1, 1)),
    (datetime, NOON),
    (datetime, NOON.replace(tzinfo=UTC)),
    (datetime, NOON.replace(tzinfo=timezone(timedelta(hours=-3, minutes=-30)))),
    (datetime, NOON.replace(tzinfo=timezone(timedelta(seconds=15)))),
    (datetime, NOON.replace(tzinfo=ZoneInfo("Europe/Berlin"))),
    (datetime, datetime.max),
    (time, time(1, 2, 3, 4)),
    (time, time(1, 2, tzinfo=UTC)),
    (timedelta, timedelta(microseconds=-1)),
    (timedelta, timedelta.max),
    (Path, Path("/a/b c")),
    (PurePosixPath, PurePosixPath("a/b")),
    (PureWindowsPath, PureWindowsPath("c:/a")),
    (Color, Color.RED),
    (Mixed, Mixed.ONE),
    (Mixed, Mixed.PAIR),
    (Mixed, Mixed.NOTHING),
    (Size, Size.L),
    (Mode, Mode.FAST),
    (Right, Right.READ | Right.WRITE),
    (Right, Right(0)),
    (list, []),
    (list[int], [1, 2, 2**70]),
    (list[float], [1.0, math.nan]),
    (list[list[str]], [["a"], []]),
    (tuple, (1, "a", (None,))),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[()], ()),
    (set[str], {"b", "a"}),
    (frozenset[tuple[int, int]], frozenset({(1, 2), (0, 5)})),
    (dict, {"a": 1}),
    (dict[str, int], {"$tuple": 1, "$$x": 2, "": 3}),
    (dict[str, int], {"$codec": 1}),
    (dict[str, int], {"$a": 2**80}),
    (dict[str, Any], {"$a": {"$tuple": (1, 2)}, "b": math.nan}),
    (dict[int, str], {1: "a", -5: "b"}),
    (dict[int, set[int]], {1: {3, 2}}),
    (dict[date, int], {date(2024, 1, 1): 1}),
    (dict[tuple[int, int], str], {(1, 2): "x"}),
    (dict[Color, int], {Color.RED: 1}),
    (dict[Any, Any], {1: 2, "1": 3, None: 4, (1,): 5, 1.5: 6, "$map": 7}),
    (Sequence[int], [1, 2]),
    (Sequence[int], (1, 2)),
    (Iterable[str], frozenset({"a"})),
    (Mapping[str, int], {"$set": 1}),
    (collections.abc.Set[int], frozenset({1, 2})),
    (int | None, None),
    (Optional[float], math.nan),  # noqa: UP045 - the old spelling is an annotation, too
    (Union[int, str], "5"),  # noqa: UP007
    (int | str, 2**70),
    (str | datetime, "2024-05-01T12:00:00"),
    (str | datetime, NOON),
    (str | Decimal | None, Decimal(1)),
    (list[int] | tuple[int, ...], (1, 2)),
    (list[int] | tuple[int, ...], [1, 2]),
    (dict[str, int] | str, {"$tuple": 5}),
    (Order | Account, Account(1, "$x")),
    (Order | Account | None, Order(1, math.nan)),
    (Cat | Dog, Cat(7)),
    (Cat | Dog, Dog("$5", {2, 1})),
    (Literal["a", 1, None], 1),  # noqa: PYI061
    (Sign, "-"),
    (Literal[Color.RED], Color.RED),
    (UserId, UserId(5)),
    (Annotated[int, "a note"], 5),
    (Annotated[int, msgspec.Meta(gt=0)], 5),
    (Percent, 100),
    (Point, Point(1, 2.5)),
    (Point, Point(2**70, math.nan)),
    (list[Point], [Point(1)]),
    (Item, Item("a", Decimal("1.50"), {"x", "y"})),
    (Order, Order(1, 2.0, "n")),
    (Order, Order(1, math.inf)),
    (Order, Rush(1, 2.0, None, 3)),
    (Frozen, Frozen(NOON, (Item("a", Decimal(1)),))),
    (Tree, Tree("root", [Tree("$leaf"), Tree("b", [Tree("c")])])),
    (Computed, Computed(3, 5)),
    (Checked, Checked(5)),
    (Box[int], Box(5)),
    (Account, Account(1, "me", {"a": 1.0})),
    (Account, Account(1, "me", {"$a": math.inf})),
    (Cat, Cat(9)),
    (Dog, Dog("rex", {3, 1})),
    (Row, Row(1)),
    (Row, Row(1, frozenset({2}))),
    (Limited, Limited(5)),
    (Limited, Limited(5, "nick")),
    (Movie, {"title": "a"}),
    (Movie, {"title": "a", "year": 1999, "$extra": (1, 2)}),
    (User, User(name="a")),
    (User, User(name="$a", born=NOON, scores={1: (2, 3)}, weight=math.nan, tags={"x"})),
    (User, Admin(name="a", level=3)),
    (User | None, User(name="a")),
    (list[User], [User(name="a"), Admin(name="b")]),
    (Aliased, Aliased(innerValue=3)),
    (Numbers, Numbers([1, 2])),
    (Strict, Strict(when=NOON, pair=(1, 2))),
    (collections.OrderedDict, collections.OrderedDict([("b", 1), ("a", 2)])),
    (collections.Counter, collections.Counter("abca")),
    (collections.deque, collections.deque([1, 2], maxlen=5)),
    (collections.defaultdict, collections.defaultdict(list, {"a": [1]})),
    (bytearray, bytearray(b"a")),
    (Exception, ValueError("no", 5)),
]


@pytest.mark.parametrize(
    ("annotation", "value"), VALUES, ids=lambda v: repr(v)[:40] if not isinstance(v, int) else "int"
)
@pytest.mark.parametrize("how", ["annotated", "bare", "nested", "nested bare"])
def test_comes_back_as_it_was(annotation: Any, value: Any, how: str) -> None:
    """Every value comes back exactly, annotated or not, alone or inside others."""
    if how.startswith("nested"):
        annotation, value = dict[str, list[annotation]], {"$k": [value, value]}
    shape = Shape.of(Any if how.endswith("bare") else annotation)
    text = JSON.encode(value, shape)
    json.loads(text)
    assert alike(JSON.decode(text, shape), value)


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (Any, (1, [2]), '{"$tuple":[1,[2]]}'),
        (Any, {3, 1, 2}, '{"$set":[1,2,3]}'),
        (Any, {1: "a"}, '{"$map":[[1,"a"]]}'),
        (Any, {"$a": 1}, '{"$$a":1}'),
        (Any, math.nan, '{"$float":"nan"}'),
        (Any, 2**63, '{"$int":"9223372036854775808"}'),
        (Any, NOON, '{"$datetime":"2024-05-01T12:00:00.123456"}'),
        (Any, b"\x00\xff", '{"$bytes":"AP8="}'),
        (Any, Color.RED, '{"$enum":"tests.core.shop:Color","value":"red"}'),
        (
            Any,
            Order(1, 2.5),
            '{"$object":"tests.core.shop:Order","value":{"id":1,"amount":2.5,"note":null}}',
        ),
        (Order, Order(1, 2.5), '{"id":1,"amount":2.5,"note":null}'),
        (tuple[int, str], (1, "a"), '[1,"a"]'),
        (set[int], {10, 9}, "[10,9]"),
        (dict[int, int], {1: 2}, '{"1":2}'),
        (datetime, NOON.replace(tzinfo=UTC), '"2024-05-01T12:00:00.123456Z"'),
        (Color, Color.RED, '"red"'),
        (Path, Path("/a"), '"/a"'),
        (dict[str, int], {"$a": 1}, '{"$a":1}'),
        (Cat, Cat(7), '{"type":"cat","livesLeft":7}'),
    ],
)
def test_text_is_for_people(annotation: Any, value: Any, text: str) -> None:
    """The text says what the value is, with a tag only where the annotation does not."""
    assert JSON.encode(value, Shape.of(annotation)) == text


moments = st.datetimes().map(lambda value: value.replace(fold=0))
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.binary(max_size=4)
    | moments
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.sampled_from([*Color, *Mixed, *Size, Point(1), Order(1, 2.0), Path("a")])
)
hashables = (
    st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.dates()
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(
            hashables | st.sampled_from(["$tuple", "$$", "$codec"]), inner, max_size=4
        )
        | st.frozensets(hashables, max_size=4)
        | st.sets(hashables, max_size=4)
    ),
    max_leaves=12,
)


@given(trees)
def test_any_tree_comes_back(value: Any) -> None:
    """Any nesting of values comes back exactly without an annotation."""
    assert alike(JSON.decode(JSON.encode(value)), value)


TYPED = [
    (dict[str, list[float | None]], st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])) | st.just("$float"), st.lists(st.none() | st.floats()))),
    (list[tuple[int, str]], st.lists(st.tuples(st.integers(), st.text(st.characters(exclude_categories=["Cs"]))))),
    (dict[int, timedelta | None], st.dictionaries(st.integers(), st.none() | st.timedeltas())),
    (tuple[Decimal | int, ...], st.lists(st.decimals() | st.integers()).map(tuple)),
    (set[datetime | date], st.sets(moments | st.dates())),
    (list[Order | Account], st.lists(st.builds(Order, st.integers(), st.floats()) | st.builds(Account, st.integers(), st.just("$a")))),
]  # fmt: skip


@given(st.data())
def test_typed_values_come_back(data: st.DataObject) -> None:
    """Annotated values come back exactly, by the fast way and the slow one."""
    annotation, strategy = data.draw(st.sampled_from(TYPED))
    value = data.draw(strategy)
    shape = Shape.of(annotation)
    text = JSON.encode(value, shape)
    assert alike(JSON.decode(text, shape), value)
    assert JSON.encode(JSON.decode(text, shape), shape) == text


@pytest.mark.parametrize(
    ("annotation", "value", "says"),
    [
        (int, "abc", "'abc' (str) at value; the contract says int"),
        (int, "3", "'3' (str)"),
        (int, True, "True (bool)"),
        (int, 1.0, "1.0 (float)"),
        (float, "1", "'1' (str)"),
        (float, True, "True (bool)"),
        (str, 5, "5 (int)"),
        (str, b"a", "bytes"),
        (None, 0, "the contract says None"),
        (bool, 1, "1 (int)"),
        (bytes, "a", "'a' (str)"),
        (datetime, "2024-01-01", "the contract says datetime"),
        (list[int], (1,), "(1,) (tuple) at value; the contract says list[int]"),
        (tuple[int, int], (1,), "the contract says tuple[int, int]"),
        (list[int], [1, "x"], "'x' (str) at value[1]; the contract says int"),
        (dict[str, int], {"a": None}, 'None (None) at value["a"]'),
        (dict[str, int], {1: 2}, "1 (int) at value[1]; the contract says a key that is str"),
        (Color, "red", "the contract says Color"),
        (Sign, "*", "one of '+', '-'"),
        (int | None, "a", "the contract says int | None"),
        (int | str, 1.5, "1.5 (float) at value; the contract says int | str"),
        (Order, {"id": 1}, "the contract says Order"),
        (Order, Order("x", 1.0), "'x' (str) at value.id; the contract says int"),  # type: ignore[arg-type]
        (list[Order], [Order(1, "y")], "'y' (str) at value[0].amount"),  # type: ignore[arg-type]
        (Order | Account, Order(1, "y"), "value.amount"),  # type: ignore[arg-type]
        (Account, Account("x", "y"), "value.id"),  # type: ignore[arg-type]
        (Movie, {"year": 1}, 'nothing at value["title"]; the contract says str'),
        (Limited, Limited(-1), "-1 (int) at value.age"),
        (Percent, 101, "101 (int)"),
        (Annotated[str, msgspec.Meta(max_length=2)], "abc", "'abc'"),
        (User, Order(1, 2.0), "the contract says User"),
        (Path, "a", "the contract says Path"),
        (ValueError, KeyError("x"), "the contract says ValueError"),
    ],
)
def test_misfits_are_refused_when_written(annotation: Any, value: Any, says: str) -> None:
    """A value that is not what the annotation says is refused with its path and both types."""
    with pytest.raises(ContractError) as refused:
        JSON.encode(value, Shape.of(annotation))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("annotation", "text", "says"),
    [
        (int, '"3"', "'3' (str) at order; the contract says int"),
        (int, "1.5", "1.5 (float)"),
        (int, "null", "None"),
        (Order, '{"id":1}', "nothing at order.amount; the contract says float"),
        (Order, '{"id":1,"amount":"2"}', "'2' (str) at order.amount; the contract says float"),
        (Order, "[]", "the contract says Order"),
        (list[Order], '[{"id":1,"amount":null}]', "order[0].amount"),
        (Checked, '{"percent":101}', "101 is no percentage"),
        (Color, '"blue"', "Color (one of 'red', 'green')"),
        (Account, '{"id":"x","owner":"y"}', "order.id"),
        (Cat | Dog, '{"type":"cow"}', "the contract says Cat | Dog"),
        (Limited, '{"age":-1}', "order.age"),
        (User, '{"name":5}', "5 (int) at order.name; the contract says User: "),
        (list[User], '[{"name":"a"},{}]', "order[1].name"),
        (
            dict[int, int],
            '{"x":1}',
            "'x' (str) at order[\"x\"]; the contract says a key that is int",
        ),
        (datetime, '"yesterday"', "'yesterday' (str)"),
        (tuple[int, int], "[1]", "tuple[int, int]"),
        (int, '{"$tuple":[1]}', "(1,) (tuple)"),
        (Percent, "101", "101 (int)"),
    ],
)
def test_misfits_are_refused_when_read(annotation: Any, text: str, says: str) -> None:
    """Text that is not what the annotation says is refused with its path and both types."""
    with pytest.raises(ContractError) as refused:
        JSON.decode(text, Shape.of(annotation), at="order")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (float, "5", 5.0),
        (Order, '{"id":1,"amount":2,"unknown":3}', Order(1, 2.0)),
        (Order | Account, '{"id":1,"owner":"me"}', Account(1, "me")),
        (User | Order, '{"id":1,"amount":2}', Order(1, 2.0)),
        (tuple[int, int], '{"$tuple":[1,2]}', (1, 2)),
        (set[int], "[2,1]", {1, 2}),
        (collections.abc.Set[int], "[2,1]", {1, 2}),
        (str | datetime, '"2024-01-01"', "2024-01-01"),
        (dict[date, int], '{"2024-01-01":1}', {date(2024, 1, 1): 1}),
        (Computed, '{"width":2,"area":9}', None),
        (Point, "[1]", Point(1, 0.5)),
        (
            Strict,
            '{"when":"2024-05-01T12:00:00.123456","pair":[1,2]}',
            Strict(when=NOON, pair=(1, 2)),
        ),
        (Movie, '{"title":"a"}', {"title": "a"}),
        (Decimal, "5", Decimal(5)),
        (Any, '{"a":[1,2.5,null]}', {"a": [1, 2.5, None]}),
    ],
)
def test_reads_plain_json(annotation: Any, text: str, value: Any) -> None:
    """JSON that a person or another program wrote is read as the annotation says."""
    read = JSON.decode(text, Shape.of(annotation))
    assert isinstance(read, Computed) if value is None else alike(read, value)


class Plain:
    """A class that says nothing about its fields."""


def contains_itself() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


class Whole(int):
    """A number of its own kind."""


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"rows": [1, 2, 3, threading.Lock()]}, 'result["rows"][3]: a value of type _thread.lock; use plain data'),
        ((i for i in range(3)), "generator; what is read only once is not data: use list"),
        (lambda: 1, "code is not data"),
        (1j, "complex; use a tuple of two floats"),
        (Plain(), "Plain; use plain data"),
        (Plain, "code is not data"),
        (open(__file__, "rb"), "_io.BufferedReader"),  # noqa: SIM115
        (Whole(5), "Whole; use int(...) of it"),
        ({"a": [contains_itself()]}, 'result["a"][0][0]: it contains itself'),
        ("\ud800", "lone surrogate"),
        ({"a": [Order(1, 2.0, "\udcff")]}, 'result["a"][0].note: \'\\udcff\' has a lone surrogate'),
        ({"\udcff": 1}, "lone surrogate"),
        (nested(100_000), "nested too deeply"),
        (Order(1, 2.0, Plain()), "result.note: a value of type tests.core.test_codec.Plain"),  # type: ignore[arg-type]
        (Secretive(password="x"), "'password'"),  # type: ignore[arg-type]
        (collections.defaultdict(lambda: 1), "use dict(value)"),
        ({1: Plain()}, "result[1]: a value of type tests.core.test_codec.Plain"),
        ((1, {Whole(2)}), "result[1]{...}"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", [Any, object])
def test_unknown_types_are_named(value: Any, says: str, how: Any) -> None:
    """What cannot be written down is refused with the path to it, its type and the mend."""
    with pytest.raises(EncodingError) as refused:
        JSON.encode(value, Shape.of(how), at="result")
    assert says in str(refused.value)
    assert isinstance(refused.value, TypeError)


def test_an_unknown_class_in_an_annotation_is_named_when_it_is_written() -> None:
    """A contract may name any class; what cannot be written is refused as such."""
    with pytest.raises(EncodingError, match="Plain"):
        JSON.encode(Plain(), Shape.of(Plain))
    with pytest.raises(EncodingError, match="'password'"):
        JSON.encode(Secretive(password="x"), Shape.of(Secretive))  # type: ignore[arg-type]


def test_local_classes_need_an_annotation() -> None:
    """A class inside a function is found through its annotation, and else refused."""

    @dataclasses.dataclass
    class Local:
        a: int

    assert JSON.decode(JSON.encode(Local(1), Shape.of(Local)), Shape.of(Local)) == Local(1)
    either = Shape.of(Local | User)
    assert JSON.decode(JSON.encode(Local(1), either), either) == Local(1)
    with pytest.raises(EncodingError, match="cannot be found by its name again"):
        JSON.encode(Local(1))


def test_without_an_annotation_nothing_is_validated() -> None:
    """An object whose fields are not what its class says comes back as it is."""
    for value in (Sloppy(), Sloppy("x", (1, 2)), Order((1,), {2}), Point("a")):  # type: ignore[arg-type]
        assert alike(JSON.decode(JSON.encode(value)), value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1] 2", "not JSON"),
        ('{"$nothing":1}', "not a tag"),
        ('{"$tuple":1}', "should be a list"),
        ('{"$tuple":[1],"x":2}', "not a tag"),
        ('{"$int":"1E+999999999"}', "not a whole number"),
        ('{"$map":[1]}', "list of pairs"),
        ('{"$map":[[[],1]]}', "damaged"),
        ('{"$set":[[]]}', "damaged"),
        ('{"$bytes":"?"}', "damaged"),
        ('{"$datetime":5}', "should be text"),
        ('{"$uuid":"x"}', "damaged"),
        (
            '{"$enum":"tests.core.shop:Gone","value":1}',
            "the class tests.core.shop:Gone is not loaded here",
        ),
        ('{"$enum":"tests.core.shop:Order","value":1}', "is not an Enum"),
        ('{"$enum":"tests.core.shop:Color","value":"blue"}', "damaged"),
        ('{"$object":"antigravity:Anti","value":{}}', "the class antigravity:Anti is not loaded"),
        ('{"$object":"os:system","value":"ls"}', "not loaded"),
        ('{"$object":"threading:Thread","value":{}}', "not a dataclass"),
        ('{"$object":"tests.core.shop:Order","value":{}}', ".id"),
        ('[0,{"a":{"$tuple":5}}]', '[1]["a"]'),
    ],
)
def test_damaged_text_is_named(text: str, says: str) -> None:
    """Text that cannot be read is refused, and no module is imported because of it."""
    with pytest.raises(DecodingError) as refused:
        JSON.decode(text)
    assert says in str(refused.value)


def test_a_closed_struct_stays_closed() -> None:
    """A struct that forbids unknown fields does so on the slow way, too."""
    for text in ('{"n":1,"m":2}', '{"n":1,"m":"$"}'):
        with pytest.raises(ContractError, match="which has no such field"):
            JSON.decode(text, Shape.of(Closed))
    assert JSON.decode('{"n":"$"}', Shape.of(Closed)) == Closed("$")


def test_one_file_under_two_names() -> None:
    """A class is found by the name that every process has for its file."""
    stands_for("tests.core.shop", "file:/srv/shop.py")
    try:
        text = JSON.encode([Color.RED, Order(1, 2.0)])
        assert '"$enum":"file:/srv/shop.py:Color"' in text
        assert JSON.decode(text) == [Color.RED, Order(1, 2.0)]
    finally:
        stands_for("tests.core.shop", "tests.core.shop")
    assert JSON.decode(JSON.encode(Color.RED)) is Color.RED


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are new in 3.12")
def test_a_type_that_names_itself() -> None:
    """A recursive `type` statement is compiled as far as the values go."""
    names: dict[str, Any] = {}
    exec("type Json = int | str | set[int] | list[Json] | dict[str, Json]", names)
    shape = Shape.of(names["Json"])
    value = {"$a": [1, {"b": {2, 1}}]}
    assert alike(JSON.decode(JSON.encode(value, shape), shape), value)
    with pytest.raises(ContractError):
        JSON.encode([1.5], shape)


words = st.sampled_from(["id", "amount", "note", "owner", "limits", "type", "cat", "livesLeft", "a",
    "red", "1", "-", "2024-05-01", "2024-05-01T12:00:00Z", "P1D", "name", "children", "lives_left",
    "AP8=", "00000000-0000-0000-0000-000000000007"])  # fmt: skip
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)
orders = st.fixed_dictionaries(
    {"id": jsons, "amount": jsons, "owner": jsons, "type": words}, optional={"note": jsons}
)
DIRECT: list[Any] = [
    int, float, str, bool, bytes, Decimal, datetime, date, time, timedelta, uuid.UUID, Color, Size,
    Sign, Order, Account, Tree, Cat, Point, Limited, list[Order], dict[str, float], dict[int, str],
    tuple[int, str], tuple[float, ...], int | str | None, Order | None, Order | int, Any,
    dict[str, Any], Sequence[int], Mapping[str, int], float | None, Box[int], Row,
]  # fmt: skip


@given(st.sampled_from(DIRECT), jsons | orders | st.lists(orders, max_size=2))
def test_both_ways_of_reading_agree(annotation: Any, plain: Any) -> None:
    """Whatever the direct way reads, the slow way reads as the very same value."""
    shape = Shape.of(annotation)
    text = json.dumps(plain)
    try:
        direct = msgspec.json.decode(text, type=annotation)
    except msgspec.DecodeError:
        return
    if shape.is_direct:
        assert alike(shape.node.read(msgspec.json.decode(text)), direct)


def test_hot_types_go_the_direct_way() -> None:
    """Small results are written and read by msgspec alone."""
    for annotation in (Any, int, str, float, None, bool, Order, Account, list[Order], Order | None):
        assert Shape.of(annotation).is_direct
    assert Shape.of(Order) is Shape.of(Order)
    assert ANYTHING.is_direct


class Reversed:
    """A transform for tests."""

    id = "reversed/1"

    def encode(self, data: bytes) -> bytes:
        return data[::-1]

    def decode(self, data: bytes) -> bytes:
        return data[::-1]


class Shifted(Reversed):
    """Another one."""

    id = "shifted/1"

    def encode(self, data: bytes) -> bytes:
        return bytes((byte + 1) % 256 for byte in data)

    def decode(self, data: bytes) -> bytes:
        return bytes((byte - 1) % 256 for byte in data)


def test_transforms() -> None:
    """Values go through the transforms; the envelope says which, and plain text is read as well."""

    codec = Codec([Reversed(), Shifted()])
    text = codec.encode({"$codec": (1, "ü")})
    assert json.loads(text)["$codec"] == ["reversed/1", "shifted/1"]
    assert codec.decode(text) == {"$codec": (1, "ü")}
    assert codec.decode(JSON.encode((1, 2))) == (1, 2)
    error = codec.encode_error(ValueError("secret"))
    assert "secret" not in error
    assert str(codec.decode_error(error)) == "secret"
    with pytest.raises(DecodingError, match="'shifted/1', which is not set up here"):
        JSON.decode(text)
    with pytest.raises(DecodingError, match="cannot undo it|did not give text back"):
        codec.decode('{"$codec":["shifted/1"],"data":"AAAA"}')
    with pytest.raises(DecodingError, match="damaged envelope"):
        codec.decode('{"$codec":5}')


@given(st.text(max_size=30) | st.from_regex(r'\{"\$[a-z]+":.{0,20}\}'))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text leads to an exception of another kind."""
    for annotation in (Any, int, Order, User, set[int], dict[date, int]):
        try:
            JSON.decode(text, Shape.of(annotation))
        except (DecodingError, ContractError):
            pass
