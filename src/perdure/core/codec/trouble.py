"""What goes wrong inside a value, with the path to it; `Codec` turns it into public errors.

A trouble is raised where it is found and knows only that; each container that it passes on its way
out adds its own step, so the way in costs nothing when all is well.
"""

from __future__ import annotations

import reprlib
from typing import NoReturn, Self

from perdure.core.errors import ContractError, DecodingError, EncodingError

_LONGEST_PATH = 200


class Trouble(Exception):
    """Something is wrong at a place in a value; `parts` leads to it, innermost first."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.parts: list[str] = []

    def copy(self) -> Self:
        """The same trouble with a path of its own, to be raised at another place."""
        copied = type(self).__new__(type(self), self.text)
        copied.__dict__.update(self.__dict__)
        copied.parts = list(self.parts)
        return copied

    def path(self, at: str) -> str:
        """The whole path, from the value called `at`."""
        path = at + "".join(reversed(self.parts))
        return path if len(path) <= _LONGEST_PATH else path[:_LONGEST_PATH] + "..."


class Misfit(Trouble):
    """A value is not what the annotation says."""

    def __init__(self, value: object, expected: str) -> None:
        super().__init__(f"{shown(value)} ({type_of(value)})")
        self.expected = expected


class Missing(Misfit):
    """A value is not there, and the annotation says that it must be."""

    def __init__(self, expected: str) -> None:
        super().__init__(None, expected)
        self.text = "nothing"


class Unwritable(Trouble):
    """A value cannot be written down."""


class Unreadable(Trouble):
    """Written text cannot be read back."""


MEND = (
    "use plain data (numbers, text, lists, dicts), a dataclass, a msgspec struct or a pydantic "
    "model"
)


def refuse(trouble: Trouble, *, at: str, subject: str, writing: bool) -> NoReturn:
    """Raise the public error for a trouble.

    Args:
        trouble: What was found.
        at: What the value is called: "result", or the name of an input.
        subject: Who did it, as in "charge() returned"; "" for nobody.
        writing: Whether the value was being written (else it was being read).
    """
    path = trouble.path(at)
    if isinstance(trouble, Misfit):
        who = (
            f"{subject} {trouble.text} at {path}; its" if subject else f"{trouble.text} at {path};"
        )
        raise ContractError(
            f"{who} contract says {trouble.expected}".replace("; contract", "; the contract"),
            path=path,
        ) from None
    if writing:
        raise EncodingError(f"cannot write down {path}: {trouble.text}", path=path) from None
    raise DecodingError(f"cannot read back {path}: {trouble.text}") from None


_brief = reprlib.Repr()  # does not look at the whole of something large
_brief.maxstring = _brief.maxother = _brief.maxlong = 100
_brief.maxlist = _brief.maxtuple = _brief.maxdict = _brief.maxset = 8


def shown(value: object, longest: int = 60) -> str:
    """A value as text that is short and never raises."""
    try:
        text = _brief.repr(value)
    except Exception:  # noqa: BLE001 - whatever a stranger's repr does
        text = f"<{type_of(value)}>"
    return text if len(text) <= longest else text[: longest - 3] + "..."


def type_of(value: object) -> str:
    """The name of a value's type, with its module unless that is clear."""
    return type_name(type(value))


def type_name(cls: type) -> str:
    """The name of a type, with its module unless it is a builtin."""
    if cls is type(None):
        return "None"
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"
