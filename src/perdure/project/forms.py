"""What the value of a setting may look like, and how it is read.

These are plain classes: every command reads settings, and five dataclasses cost two milliseconds.
"""

from __future__ import annotations

import re
from typing import Protocol, cast

from perdure.core.errors import DurationError
from perdure.core.text import is_writable

_SECOND = 1_000_000


class Form(Protocol):
    """What values of a setting look like; both readers raise ValueError or TypeError
    for what does not fit."""

    @property
    def expects(self) -> str:
        """The values in words, for messages and for the documentation."""
        ...

    def read(self, value: object) -> object:
        """Read a typed value, as from TOML."""
        ...

    def read_text(self, text: str) -> object:
        """Read the text of an environment variable or of an option."""
        ...


class Text:
    """Any text but the empty one."""

    def __init__(self, expects: str = "a text") -> None:
        self.expects = expects

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip() or not is_writable(value):
            raise ValueError
        return value

    def read_text(self, text: str) -> str:
        return self.read(text)


class Names:
    """A list of texts; in the environment, one text with commas."""

    expects = 'a list of texts such as ["app", "jobs.daily"] (in the environment: app,jobs)'

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError
        return tuple(Text().read(item) for item in cast("list[object]", value))

    def read_text(self, text: str) -> tuple[str, ...]:
        return tuple(name.strip() for name in text.split(",") if name.strip())


class Choice:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    @property
    def expects(self) -> str:
        return " or ".join(f'"{word}"' for word in self.words)

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value.lower() not in self.words:
            raise ValueError
        return value.lower()

    def read_text(self, text: str) -> str:
        return self.read(text)


class Flag:
    """Yes or no."""

    expects = "true or false"

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError
        return value

    def read_text(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in ("true", "false", "1", "0"):
            raise ValueError
        return word in ("true", "1")


class Count:
    """A whole number."""

    def __init__(self, at_least: int = 1) -> None:
        self.at_least = at_least

    @property
    def expects(self) -> str:
        return f"a whole number, {self.at_least} or more"

    def read(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < self.at_least:
            raise ValueError
        return value

    def read_text(self, text: str) -> int:
        return self.read(int(text))


class Duration:
    """A length of time; kept in microseconds."""

    def __init__(self, at_least: int) -> None:
        self.at_least = at_least

    @property
    def expects(self) -> str:
        return (
            f'a duration such as "15s", "1h30m" or a number of seconds, '
            f"{written_duration(self.at_least)} or more"
        )

    def read(self, value: object) -> int:
        from datetime import timedelta

        from perdure.core.duration import parse

        if isinstance(value, bool) or not isinstance(value, str | int | float | timedelta):
            raise TypeError
        try:
            microseconds = parse(value)
        except DurationError as error:
            raise ValueError from error
        if microseconds < self.at_least:
            raise ValueError
        return microseconds

    def read_text(self, text: str) -> int:
        # The environment knows no numbers: PERDURE_WORKER_LEASE=15 means fifteen seconds.
        return self.read(float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text)


def written_duration(microseconds: int) -> str:
    """Write a duration down as a person would."""
    if microseconds % _SECOND == 0:
        return f"{microseconds // _SECOND}s"
    return f"{microseconds / 1_000:g}ms"
