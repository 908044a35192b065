"""What the values of options look like."""

from __future__ import annotations

from typing import Any

import click

from perdure.core.errors import DurationError


class _Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2 only
    """A duration such as 1h30m, as a number of seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from perdure.core import duration

        if isinstance(value, int | float):
            return float(value)
        try:
            return duration.parse(value) / 1_000_000
        except DurationError as error:
            self.fail(str(error), param, ctx)


DURATION = _Duration()


class Surplus(click.Argument):
    """Words that a command does not take, but has a better sentence for than "unexpected"."""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        return []
