"""Contracts: what a signature says, and what becomes of calls that do and do not keep it."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict, Unpack

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.codec import JSON, Codec
from perdure.core.contract import Contract
from perdure.core.errors import ContractError, DeclarationError, DecodingError, EncodingError
from tests.core.shop import Account, Color, Movie, Order, Percent, Point, Size, Tree, User

if TYPE_CHECKING:
    from somewhere import Nothing  # type: ignore[import-not-found]


class Context:
    """A resource that is injected by its class."""

    __perdure_injected__ = True


class Model:
    """A resource that is injected by what stands in Annotated."""

    __perdure_injected__ = True


def charge(order: Order, amount: int = 5, *, note: str | None = None) -> Decimal: ...  # type: ignore[empty-body]
def nothing() -> None: ...
def one(n: int) -> int: ...  # type: ignore[empty-body]
def bare(a, b=2): ...  # type: ignore[no-untyped-def]
def strict(a: int = 1, b: int = 2, /, c: int = 3, *rest: int, d: int = 4, **extra: str) -> None: ...
def sloppy(n: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def with_context(ctx: Context, order: Order, n: int = 1) -> None: ...
def with_model(
    x: int, model: Annotated[object, Model()], *, log: Context | None = None
) -> None: ...
def movies(**extra: Unpack[Movie]) -> None: ...
def percent(p: Percent) -> Percent: ...  # type: ignore[empty-body]
def anything(value: Any) -> Any: ...
def raw(d: dict[str, int], m: dict[str, Any]) -> dict[str, int]: ...  # type: ignore[empty-body]


class Till:
    """Something with methods."""

    def pay(self, order: Order) -> int: ...  # type: ignore[empty-body]

    @classmethod
    def build(cls, n: int) -> int: ...  # type: ignore[empty-body]

    @staticmethod
    def count(n: int) -> int: ...  # type: ignore[empty-body]

    def __call__(self, n: int) -> int: ...  # type: ignore[empty-body]


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator, as users write them."""

    @functools.wraps(fn)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return inner


ORDER = Order(1, 2.5)

CALLS: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], str]] = [
    (nothing, (), {}, "{}"),
    (one, (5,), {}, '{"n":5}'),
    (one, (), {"n": 5}, '{"n":5}'),
    (charge, (ORDER,), {}, '{"order":{"id":1,"amount":2.5,"note":null}}'),
    (charge, (ORDER,), {"note": "x"}, '{"order":{"id":1,"amount":2.5,"note":null},"note":"x"}'),
    (bare, ((1,),), {}, '{"a":{"$tuple":[1]}}'),
    (bare, (1, {"$a": 1}), {}, '{"a":1,"b":{"$$a":1}}'),
    (strict, (), {}, "{}"),
    (strict, (), {"c": 5}, '{"c":5}'),
    (strict, (1,), {"c": 5, "d": 6}, '{"a":1,"c":5,"d":6}'),
    (strict, (1, 2, 3, 4, 5), {"z": "z"}, '{"a":1,"b":2,"c":3,"rest":[4,5],"extra":{"z":"z"}}'),
    (strict, (), {"a": "kept apart"}, '{"extra":{"a":"kept apart"}}'),
    (sloppy, (None,), {}, '{"n":null}'),
    (with_context, (ORDER,), {}, '{"order":{"id":1,"amount":2.5,"note":null}}'),
    (with_model, (1,), {}, '{"x":1}'),
    (movies, (), {"title": "a"}, '{"extra":{"title":"a"}}'),
    (percent, (50,), {}, '{"p":50}'),
    (raw, ({"$codec": 1}, {"$codec": (1,)}), {}, ""),
    (anything, (float("inf"),), {}, '{"value":{"$float":"inf"}}'),
    (Till().pay, (ORDER,), {}, '{"order":{"id":1,"amount":2.5,"note":null}}'),
    (Till.build, (1,), {}, '{"n":1}'),
    (Till.count, (1,), {}, '{"n":1}'),
    (Till(), (1,), {}, '{"n":1}'),
    (functools.partial(charge, ORDER), (7,), {}, '{"amount":7}'),
    (functools.partial(charge, amount=6), (ORDER,), {}, '{"order":{"id":1,"amount":2.5,"note":null}}'),
    (logged(one), (5,), {}, '{"n":5}'),
]  # fmt: skip


@pytest.mark.parametrize(("fn", "args", "kwargs", "text"), CALLS)
def test_a_call_is_written_and_made_again(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], text: str
) -> None:
    """Input is a JSON object by parameter name; read back, it makes the same call."""
    contract = Contract.of(fn)
    written = contract.encode_input(JSON, args, kwargs)
    json.loads(written)
    if text:
        assert written == text
    again_args, again_kwargs = contract.decode_input(JSON, written)
    assert contract.encode_input(JSON, again_args, again_kwargs) == written


def record(
    a: int = 1, b: int = 2, /, c: int = 3, d: int = 4, *rest: int, e: int = 5, **extra: int
) -> tuple[Any, ...]:
    """Tells how it was called."""
    return a, b, c, d, rest, e, extra


@given(
    st.lists(st.integers(), max_size=6),
    st.dictionaries(st.sampled_from(["c", "d", "e", "f", "a"]), st.integers()),
)
def test_any_call_means_the_same_when_made_again(args: list[int], kwargs: dict[str, int]) -> None:
    """Whatever a call leaves to the defaults is left to them again."""
    try:
        direct = record(*args, **kwargs)  # type: ignore[arg-type]
    except TypeError:
        with pytest.raises(ContractError):
            Contract.of(record).encode_input(JSON, args, kwargs)
        return
    contract = Contract.of(record)
    again_args, again_kwargs = contract.decode_input(
        JSON, contract.encode_input(JSON, args, kwargs)
    )
    assert record(*again_args, **again_kwargs) == direct  # type: ignore[arg-type]


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "rest", "e"]), st.just(9)))
def test_any_gap_is_filled_by_the_defaults(fields: dict[str, Any]) -> None:
    """Input that leaves out what stands before (as a command line may) makes a call all the same."""
    if "rest" in fields:
        fields["rest"] = [8, 7]
    args, kwargs = Contract.of(record).decode_input(JSON, json.dumps(fields))
    expected = [fields.get(name, n) for n, name in enumerate("abcd", 1)]
    rest = tuple(fields.get("rest", ()))
    called = record(*args, **kwargs)  # type: ignore[arg-type]
    assert called == (*expected, rest, fields.get("e", 5), {})


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "says"),
    [
        (charge, (), {}, "charge() missing input 'order'"),
        (charge, (ORDER,), {"amonut": 1}, "charge() has no input 'amonut'; did you mean 'amount'?"),
        (nothing, (), {"x": 1}, "nothing() has no input 'x'; it takes no inputs"),
        (charge, (ORDER, 1, "x"), {}, "takes at most 2 inputs by position"),
        (charge, (ORDER,), {"order": ORDER}, "was given the input 'order' twice"),
        (charge, (ORDER, "3"), {}, "charge() was given '3' (str) at amount; its contract says int"),
        (charge, (Order("x", 1.0),), {}, "charge() was given 'x' (str) at order.id; its contract"),  # type: ignore[arg-type]
        (strict, (1, 2, 3, "x"), {}, "'x' (str) at rest[0]; its contract says int"),
        (strict, (), {"z": 5}, "5 (int) at extra.z; its contract says str"),
        (one, (True,), {}, "True (bool) at n; its contract says int"),
        (with_context, (ORDER,), {"ctx": Context()}, "is given 'ctx' by Perdure; leave it out"),
        (percent, (101,), {}, "at p; its contract says int: "),
        (functools.partial(charge, ORDER), (), {"order": ORDER}, "no input 'order'"),
    ],
)
def test_wrong_calls_are_named(fn: Any, args: Any, kwargs: Any, says: str) -> None:
    """A call that does not keep the contract is refused before anything is written."""
    for contract in (Contract.of(fn),):
        with pytest.raises(ContractError) as refused:
            contract.encode_input(JSON, args, kwargs)
        assert says in str(refused.value)
        assert isinstance(refused.value, ValueError)


def test_what_cannot_be_written_is_named() -> None:
    """An argument of an unknown type is refused by its path."""
    with pytest.raises(EncodingError, match=r'value\["a"\]\[1\]: a value of type .*Till'):
        Contract.of(anything).encode_input(JSON, ({"a": [1, Till()]},), {})


@pytest.mark.parametrize(
    ("fn", "text", "says"),
    [
        (charge, "{}", "charge() missing input 'order'"),
        (
            charge,
            '{"order":{"id":1}}',
            "was given nothing at order.amount; its contract says float",
        ),
        (charge, '{"order":{"id":1,"amount":1},"ammount":1}', "did you mean 'amount'?"),
        (charge, '{"order":{"id":1,"amount":1},"amount":"3"}', "'3' (str) at amount"),
        (charge, "[1]", "must be a JSON object of order, amount, note, not '[1]'"),
        (strict, '{"rest":5}', "at rest; its contract says a JSON list"),
        (strict, '{"rest":[1,"x"]}', "'x' (str) at rest[1]"),
        (strict, '{"extra":{"z":1}}', "1 (int) at extra.z"),
        (with_context, '{"ctx":{}}', "by Perdure"),
    ],
)
def test_wrong_input_is_named(fn: Any, text: str, says: str) -> None:
    """Stored or foreign input that does not keep the contract is refused with its path."""
    with pytest.raises(ContractError) as refused:
        Contract.of(fn).decode_input(JSON, text)
    assert says in str(refused.value)


def test_damaged_input_is_named() -> None:
    """Input that is not JSON is a DecodingError."""
    with pytest.raises(DecodingError, match=r"the input of charge\(\) is not JSON"):
        Contract.of(charge).decode_input(JSON, "{")


def test_output() -> None:
    """A result is validated when it is written, and typed when it is read."""
    contract = Contract.of(charge)
    text = contract.encode_output(JSON, Decimal("1.50"))
    assert text == '"1.50"'
    assert str(contract.decode_output(JSON, text)) == "1.50"
    with pytest.raises(ContractError) as refused:
        contract.encode_output(JSON, "1.50")
    assert str(refused.value) == (
        "charge() returned '1.50' (str) at result; its contract says Decimal"
    )
    with pytest.raises(ContractError, match=r"the recorded result of charge\(\) has None"):
        contract.decode_output(JSON, "null")


def test_injected_parameters_are_no_inputs() -> None:
    """Parameters that Perdure supplies are listed apart, and what follows is passed by name."""
    contract = Contract.of(with_context)
    assert list(contract.inputs) == ["order", "n"]
    assert contract.injected == {"ctx": Context}
    text = contract.encode_input(JSON, (ORDER, 2), {})
    assert contract.decode_input(JSON, text) == ((), {"order": ORDER, "n": 2})
    other = Contract.of(with_model)
    assert list(other.inputs) == ["x"]
    assert list(other.injected) == ["model", "log"]
    assert other.decode_input(JSON, '{"x":1}') == ((1,), {})


async def streamed(n: int) -> AsyncIterator[Order]:
    yield ORDER


async def awaited(n: int) -> int:
    return n


def generated() -> Generator[int, None, str]:
    yield 1
    return "done"


def unannotated():  # type: ignore[no-untyped-def]
    yield 1


def iterating() -> Iterator[bytes]: ...  # type: ignore[empty-body]
def listing() -> Iterable[int]: ...  # type: ignore[empty-body]
def later() -> Awaitable[int]: ...  # type: ignore[empty-body]
def coroutine() -> Coroutine[Any, Any, int]: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("fn", "output", "chunks", "is_async", "is_generator"),
    [
        (streamed, "None", "Order", True, True),
        (awaited, "int", None, True, False),
        (functools.partial(awaited, 1), "int", None, True, False),
        (generated, "str", "int", False, True),
        (unannotated, "None", "Any", False, True),
        (iterating, "None", "bytes", False, False),
        (listing, "Iterable[int]", None, False, False),
        (later, "int", None, False, False),
        (coroutine, "int", None, False, False),
        (nothing, "None", None, False, False),
        (bare, "Any", None, False, False),
    ],
)
def test_outcomes(
    fn: Any, output: str, chunks: str | None, is_async: bool, is_generator: bool
) -> None:
    """The annotation of a result tells what is returned and what is streamed."""
    contract = Contract.of(fn)
    assert contract.output.name == output
    assert (contract.chunks and contract.chunks.name) == chunks
    assert (contract.is_async, contract.is_generator) == (is_async, is_generator)


def test_annotations_as_text_may_name_local_classes() -> None:
    """A class that is local to the function around is found, as long as that is running."""

    @dataclasses.dataclass
    class Local:
        n: int

    def fn(local: Local, many: list[Local]) -> Local: ...  # type: ignore[empty-body]

    contract = Contract.of(fn)
    text = contract.encode_input(JSON, (Local(1), [Local(2)]), {})
    assert contract.decode_input(JSON, text) == ((Local(1), [Local(2)]), {})


def test_what_cannot_be_declared_is_named() -> None:
    """An annotation that cannot be resolved is refused by function and parameter."""

    def absent(order: Order, other: Nothing) -> None: ...
    def result() -> Nothing: ...
    def no_type(n: 5) -> None: ...  # type: ignore[valid-type]
    def early(ctx: Context, /, n: int) -> None: ...
    def before(ctx: Context, *items: int) -> None: ...

    for fn, says in [
        (absent, "absent() has an annotation that cannot be resolved, of the parameter 'other'"),
        (result, "of its result"),
        (no_type, "no_type() "),
        (early, "put it behind the '/'"),
        (before, "before *items"),
    ]:
        with pytest.raises(DeclarationError) as refused:
            Contract.of(fn)
        assert says in str(refused.value)


def shell(
    n: int = 0,
    text: str = "",
    maybe: str | None = None,
    order: Order | None = None,
    color: Color = Color.RED,
    size: Size = Size.S,
    when: datetime | None = None,
    path: Path | None = None,
    price: Decimal | None = None,
    free: Any = None,
    *items: float,
) -> None: ...


@pytest.mark.parametrize(
    ("name", "given_text", "value"),
    [
        ("n", "5", 5),
        ("text", "5", "5"),
        ("text", "null", "null"),
        ("maybe", "5", "5"),
        ("maybe", "null", None),
        ("maybe", "hello", "hello"),
        ("order", '{"id":1,"amount":2.5}', ORDER),
        ("order", ORDER, ORDER),
        ("color", "green", Color.GREEN),
        ("size", "2", Size.L),
        ("when", "2024-01-01T00:00:00", datetime(2024, 1, 1)),
        ("path", "/a/b", Path("/a/b")),
        ("price", "1.10", Decimal("1.10")),
        ("free", "5", 5),
        ("free", "five", "five"),
        ("free", "[1,", "[1,"),
    ],
)
def test_command_line_text(name: str, given_text: Any, value: Any) -> None:
    """Text from a command line is JSON where that fits the annotation, else the text itself."""
    contract = Contract.of(shell)
    text = contract.parse_input(JSON, [], {name: given_text})
    _, kwargs = contract.decode_input(JSON, text)
    args, _ = contract.decode_input(JSON, text)
    assert kwargs.get(name, args[0] if args else None) == value


def test_command_line_mistakes() -> None:
    """Text that fits in no way is refused as any other value is."""
    contract = Contract.of(shell)
    with pytest.raises(ContractError) as refused:
        contract.parse_input(JSON, ["abc"], {})
    assert str(refused.value) == "shell() was given 'abc' (str) at n; its contract says int"
    with pytest.raises(ContractError, match="order.amount"):
        contract.parse_input(JSON, [], {"order": '{"id":1,"amount":"x"}'})
    nine = ["1", "a", "b", "null", "red", "1", "null", "null", "null", "1"]
    assert '"items":[1.5]' in contract.parse_input(JSON, [*nine, "1.5"], {})
    with pytest.raises(ContractError, match=r"items\[0\]"):
        contract.parse_input(JSON, [*nine, "x"], {})


def test_input_goes_through_the_transforms() -> None:
    """A codec with transforms seals the input as a whole."""

    class Upside:
        id = "upside/1"

        def encode(self, data: bytes) -> bytes:
            return data[::-1]

        def decode(self, data: bytes) -> bytes:
            return data[::-1]

    codec = Codec([Upside()])
    contract = Contract.of(charge)
    text = contract.encode_input(codec, (ORDER,), {})
    assert "amount" not in text
    assert contract.decode_input(codec, text) == ((ORDER,), {})
    assert contract.decode_input(codec, contract.encode_input(JSON, (ORDER,), {})) == ((ORDER,), {})


def schemed(
    user: User,
    order: Order | Account,
    tree: Tree,
    movie: Movie,
    point: Point,
    path: Path,
    either: User | Order | None = None,
    n: int = 5,
    *rest: Color,
    **extra: dict[str, User],
) -> list[User] | None: ...


def test_schemas() -> None:
    """Schemas of all kinds of types stand in one document, with their definitions."""
    contract = Contract.of(schemed)
    schema = contract.input_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["required"] == ["user", "order", "tree", "movie", "point", "path"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["user"] == {"$ref": "#/$defs/User"}
    assert schema["properties"]["n"] == {"type": "integer", "default": 5}
    assert schema["properties"]["path"] == {"type": "string", "format": "path"}
    assert schema["properties"]["rest"]["items"] == {"$ref": "#/$defs/Color"}
    assert {"User", "Order", "Account", "Tree", "Movie", "Point"} <= set(schema["$defs"])
    assert refs(schema) <= {f"#/$defs/{name}" for name in schema["$defs"]}
    output = contract.output_schema()
    assert {"type": "null"} in output["anyOf"]
    assert refs(output) == {"#/$defs/User", "#/$defs/Color"}
    assert contract.chunk_schema() is None
    assert Contract.of(generated).chunk_schema() == {**HEAD, "type": "integer"}
    assert Contract.of(bare).output_schema() == HEAD
    assert Contract.of(nothing).input_schema()["properties"] == {}


HEAD = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def refs(schema: Any) -> set[str]:
    """All references in a schema."""
    if isinstance(schema, list):
        return set().union(*map(refs, schema))
    if not isinstance(schema, dict):
        return set()
    found = set().union(*map(refs, schema.values())) if schema else set()
    return found | ({schema["$ref"]} if "$ref" in schema else set())


@dataclasses.dataclass
class Line:
    name: str
    price: int = 0


@dataclasses.dataclass
class Cart:
    id: int
    lines: list[Line] = dataclasses.field(default_factory=list)
    note: str | None = None


class Tagged(msgspec.Struct, tag="tagged"):
    amount: int
    unit: str = "EUR"


class Parcel(TypedDict):
    weight: int
    amount: NotRequired[int]


class Payment(pydantic.BaseModel):
    amount: int
    lines: list[Line] = []


class Closed(pydantic.BaseModel, extra="forbid"):
    amount: int


def cart(cart: Cart) -> None: ...
def tagged(tagged: Tagged) -> None: ...
def parcel(parcel: Parcel) -> None: ...
def payment(payment: Payment) -> None: ...
def closed(closed: Closed) -> None: ...
def either(value: Cart | Tagged | None) -> None: ...
def carts(*carts: Cart) -> None: ...
def parcels(*parcels: Parcel, **more: Parcel) -> None: ...
def several(carts: list[Cart], parcels: dict[str, Parcel] | None = None) -> None: ...


STRANGERS: list[tuple[Callable[..., Any], Any, str, str]] = [
    (cart, {"id": 1, "nte": "x"}, "cart.nte", "Cart, .*did you mean 'note'"),
    (cart, {"id": 1, "lines": [{"name": "a", "prize": 3}]}, "cart.lines[0].prize", "'price'"),
    (cart, {"id": 1, "zzz": 0}, "cart.zzz", "it has id, lines, note"),
    (tagged, {"type": "tagged", "amuont": 1}, "tagged.amuont", "'amount'"),
    (parcel, {"weight": 1, "amuont": 3}, "parcel.amuont", "'amount'"),
    (either, {"id": 1, "nte": 2}, "value.nte", "'note'"),
    (several, [{"id": 1}, {"id": 2, "nte": 3}], "carts[1].nte", "'note'"),
]


@pytest.mark.parametrize(("fn", "value", "path", "hint"), STRANGERS)
def test_fields_that_a_record_does_not_have_are_refused_from_outside(
    fn: Callable[..., Any], value: Any, path: str, hint: str
) -> None:
    """A misspelt field would be dropped without a word; all ways in say where it is, and what is near."""
    contract = Contract.of(fn)
    text = json.dumps(value)
    (name,) = (name for name, one in contract.inputs.items() if one.is_required)
    for give in (
        lambda: contract.accept_input(JSON, (value,), {}),
        lambda: contract.parse_input(JSON, (text,), {}),
        lambda: contract.decode_input(JSON, f'{{"{name}":{text}}}', strict=True),
    ):
        with pytest.raises(ContractError, match=hint) as caught:
            give()
        assert caught.value.path == path


def test_fields_that_a_journal_has_too_many_are_passed_over() -> None:
    """Older code had them; what it wrote is still read."""
    text = '{"cart":{"id":1,"gone":2,"lines":[{"name":"a","gone":{}}]}}'
    assert Contract.of(cart).decode_input(JSON, text) == ((Cart(1, [Line("a")]),), {})
    text = '{"tagged":{"type":"tagged","amount":1,"gone":2}}'
    assert Contract.of(tagged).decode_input(JSON, text) == ((Tagged(1),), {})


def test_models_have_their_own_rule_for_fields_too_many() -> None:
    """Pydantic's `extra`; by default they are ignored."""
    assert Contract.of(payment).accept_input(JSON, ({"amount": 1, "x": 2},), {}) == (
        '{"payment":{"amount":1,"lines":[]}}'
    )
    with pytest.raises(ContractError, match="Extra inputs are not permitted") as caught:
        Contract.of(closed).accept_input(JSON, ({"amount": 1, "x": 2},), {})
    assert caught.value.path == "closed.x"


@pytest.mark.parametrize(
    ("fn", "plain", "value"),
    [
        (cart, {"id": 1}, Cart(1)),
        (cart, {"id": 1, "lines": [{"name": "a"}]}, Cart(1, [Line("a")])),
        (tagged, {"amount": 1}, Tagged(1)),
        (payment, {"amount": 1, "lines": [{"name": "a"}]}, Payment(amount=1, lines=[Line("a")])),
        (several, [{"id": 1}], [Cart(1)]),
    ],
)
def test_plain_data_is_taken_for_a_record_from_outside(
    fn: Callable[..., Any], plain: Any, value: Any
) -> None:
    """A dict, as it comes from JSON, is written down as the record that it stands for: with the same
    key it is the same run."""
    contract = Contract.of(fn)
    written = contract.encode_input(JSON, (value,), {})
    assert contract.accept_input(JSON, (plain,), {}) == written
    assert contract.accept_input(JSON, (value,), {}) == written
    args, kwargs = contract.decode_input(
        JSON, f'{{"{next(iter(contract.inputs))}":{json.dumps(plain)}}}', strict=True
    )
    assert contract.encode_input(JSON, args, kwargs) == written
    with pytest.raises(ContractError):  # in a body types say what is meant
        contract.encode_input(JSON, (plain,), {})


def test_plain_data_that_does_not_fit_is_refused_by_its_path() -> None:
    """The sentence says what is missing where."""
    with pytest.raises(ContractError, match="contract says int") as caught:
        Contract.of(cart).accept_input(JSON, ({"lines": []},), {})
    assert caught.value.path == "cart.id"
    with pytest.raises(ContractError, match="Field required") as caught:
        Contract.of(payment).accept_input(JSON, ({"amuont": 1},), {})
    assert caught.value.path == "payment.amount"
    with pytest.raises(ContractError, match=r"3 \(int\) at cart; its contract says Cart"):
        Contract.of(cart).accept_input(JSON, (3,), {})


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "path", "hint"),
    [
        (parcels, ({"weight": 1}, {"weight": 1, "amuont": 3}), {}, "parcels[1].amuont", "'amount'"),
        (parcels, (), {"a": {"weight": 1, "amuont": 3}}, "more.a.amuont", "'amount'"),
        (carts, ({"id": 1, "nte": "x"},), {}, "carts[0].nte", "'note'"),
    ],
)
def test_strangers_in_collected_inputs_are_refused_too(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], path: str, hint: str
) -> None:
    """`*items` and `**extra` are looked at one by one, from Python as in an input object."""
    contract = Contract.of(fn)
    given = {name: value for name, value in zip([fn.__name__], [args], strict=True) if value}
    text = json.dumps(given | ({"more": kwargs} if kwargs else {}))
    for give in (
        lambda: contract.accept_input(JSON, args, kwargs),
        lambda: contract.decode_input(JSON, text, strict=True),
    ):
        with pytest.raises(ContractError, match=f"did you mean {hint}") as caught:
            give()
        assert caught.value.path == path


def test_plain_data_is_taken_in_collected_inputs_too() -> None:
    """Each of `*items` may be a dict that stands for its record."""
    contract = Contract.of(carts)
    written = contract.encode_input(JSON, (Cart(1), Cart(2)), {})
    assert contract.accept_input(JSON, (Cart(1), {"id": 2}), {}) == written
