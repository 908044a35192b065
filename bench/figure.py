"""A measured value, and the bounds that it is held against."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One value.

    Attributes:
        name: "wake/p50": the benchmark, and the part where it has several.
        value: What was measured, in `unit`.
        against: What it was measured against, with that value; None where there is nothing.
        ratio: The value to what it was measured against (for durations and CPU: how many times as
            much); None where only the value counts.
    """

    name: str
    value: float
    unit: str
    against: str | None = None
    ratio: float | None = None

    def line(self) -> str:
        """The figure as one line of JSON."""
        return json.dumps(
            {
                "name": self.name,
                "value": _rounded(self.value),
                "unit": self.unit,
                "against": self.against,
                "ratio": None if self.ratio is None else _rounded(self.ratio),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a figure must reach, and what would be better still.

    Attributes:
        of: Whether the ratio or the value is held against it.
        more: Whether more is better.
    """

    must: float
    stretch: float
    of: Literal["ratio", "value"]
    more: bool

    def verdict(self, figure: Figure) -> str:
        """Say which bound is reached: "stretch", "must", or "missed"."""
        reached = figure.ratio if self.of == "ratio" else figure.value
        if reached is None:
            return ""
        for name, bound in (("stretch", self.stretch), ("must", self.must)):
            if (reached >= bound) if self.more else (reached <= bound):
                return name
        return "missed"

    def __str__(self) -> str:
        times = "x" if self.of == "ratio" else ""
        return f"{self.must:g}{times} / {self.stretch:g}{times}"


def _at_least(must: float, stretch: float) -> Bound:
    return Bound(must=must, stretch=stretch, of="ratio", more=True)


def _at_most(must: float, stretch: float) -> Bound:
    return Bound(must=must, stretch=stretch, of="value", more=False)


BOUNDS = {
    "steps-full": _at_least(0.7, 0.95),
    "steps-process": _at_least(0.35, 0.5),
    "steps-dbos": _at_least(6, 8),
    "steps-dbos/wal": _at_least(3, 4),
    "cpu-per-step": _at_most(60, 35),
    "concurrent-50": _at_least(2.5, 4),
    "linear": _at_least(0.9, 1.0),
    "replay": Bound(must=0.3, stretch=0.2, of="ratio", more=False),
    "wake/p50": _at_most(3, 1),
    "wake/p99": _at_most(10, 3),
    "wake/idle-cpu": _at_most(0.5, 0.05),
    "takeover": _at_most(2, 0.5),
    "startup/import": _at_most(60, 25),
    "startup/help": _at_most(60, 30),
    "startup/list": _at_most(90, 50),
    "memory/import": _at_most(35, 25),
    "memory/idle": _at_most(45, 35),
    "memory/suspended": _at_most(150, 100),
}
"""By the name of the figure. A figure without bounds is told beside one that has them."""


class Skipped(Exception):
    """A benchmark cannot be measured here; the message says why and what to do."""


def _rounded(value: float) -> float:
    """Four digits that count: more would pretend."""
    return float(f"{value:.4g}")
