"""Taking turns: what is compared is measured in alternation, and the median of the rounds counts."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

Side = Callable[[], float]


def alternate(one: Side, other: Side, rounds: int) -> list[tuple[float, float]]:
    """Measure two sides so many times, each first in every second round."""
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            second = other()
            pairs.append((one(), second))
        else:
            first = one()
            pairs.append((first, other()))
    return pairs


def middle(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """The medians of the one side, of the other side, and of the ratios of the rounds."""
    ones, others = zip(*pairs, strict=True)
    return median(ones), median(others), median(one / other for one, other in pairs)
