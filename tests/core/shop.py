"""Types of all sorts that the tests of values use."""

from __future__ import annotations

import enum
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import msgspec
import pydantic

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Mixed(enum.Enum):
    ONE = 1
    TEXT = "text"
    PAIR = (1, 2)
    NOTHING = None


class Size(enum.IntEnum):
    S = 1
    L = 2


class Mode(enum.StrEnum):
    FAST = "fast"
    SLOW = "slow"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float = 0.5


@dataclass
class Item:
    name: str
    price: Decimal
    tags: set[str] = field(default_factory=set)


@dataclass
class Order:
    id: int
    amount: float
    note: str | None = None


@dataclass
class Rush(Order):
    hours: int = 1


@dataclass(frozen=True, slots=True)
class Frozen:
    when: datetime
    items: tuple[Item, ...] = ()


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)
    parent_name: str | None = None


@dataclass
class Computed:
    width: int
    scale: InitVar[int] = 2
    area: int = field(init=False, default=0)

    def __post_init__(self, scale: int) -> None:
        self.area = self.width * scale


@dataclass
class Checked:
    percent: int

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise RuntimeError(f"{self.percent} is no percentage")


@dataclass
class Sloppy:
    count: int = None  # type: ignore[assignment]
    rest: Any = None


@dataclass
class Box(Generic[T]):
    inside: T


class Account(msgspec.Struct):
    id: int
    owner: str
    limits: dict[str, float] = {}


class Cat(msgspec.Struct, tag="cat", rename="camel"):
    lives_left: int


class Dog(msgspec.Struct, tag="dog"):
    name: str
    ids: set[int] = set()


class Row(msgspec.Struct, array_like=True):
    a: int
    b: frozenset[int] = frozenset()


class Limited(msgspec.Struct):
    age: Annotated[int, msgspec.Meta(ge=0)]
    nick: str | msgspec.UnsetType = msgspec.UNSET


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    n: Any


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class User(pydantic.BaseModel):
    name: str
    born: datetime | None = None
    color: Color = Color.RED
    scores: dict[int, tuple[int, ...]] = {}
    weight: float = 1.0
    tags: set[str] = set()


class Admin(User):
    level: int = 1


class Aliased(pydantic.BaseModel):
    inner: int = pydantic.Field(alias="innerValue")


class Secretive(pydantic.BaseModel):
    password: pydantic.SecretStr


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    when: datetime
    pair: tuple[int, int]


Percent = Annotated[int, pydantic.Field(ge=0, le=100)]
Sign = Literal["+", "-"]
