"""`python -m bench [NAME …] [--json] [--list]`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator

from bench import catalogue
from bench.figure import BOUNDS, Figure, Skipped

ROW = "{:<22} {:>11} {:<8} {:>7}  {:<15} {:<8} {}"


def main() -> int:
    options = _options()
    if options.list:
        for name, (_home, sentence) in catalogue.HOMES.items():
            print(f"{name:<15} {sentence}")
        return 0
    figures = _measured(options.names or list(catalogue.HOMES), quick=options.quick)
    if options.json:
        for figure in figures:
            print(figure.line(), flush=True)
        return 0
    _show(figures)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Perdure, as ratios in one interleaved run."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="what to measure (see --list); without: all"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line per value")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    parser.add_argument(
        "--quick", action="store_true", help="only see that they work: the values mean nothing"
    )
    options = parser.parse_args()
    for name in options.names:
        if name not in catalogue.HOMES:
            parser.error(f"there is no benchmark {name!r}; there is {', '.join(catalogue.HOMES)}")
    return options


def _measured(names: list[str], *, quick: bool) -> Iterator[Figure]:
    for name in names:
        if sys.stderr.isatty():
            print(f"measuring {name} ...\033[K", end="\r", file=sys.stderr, flush=True)
        try:
            yield from catalogue.measure(name, quick=quick)
        except Skipped as reason:
            print(f"{name} was skipped: {reason}", file=sys.stderr)


def _show(figures: Iterator[Figure]) -> None:
    print(
        f"{time.strftime('%Y-%m-%d')}, {platform.platform()}, CPython {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    )
    print(ROW.format("name", "value", "unit", "ratio", "must / stretch", "reached", "against"))
    for figure in figures:
        bound = BOUNDS.get(figure.name)
        print(
            ROW.format(
                figure.name,
                f"{figure.value:,.4g}" if figure.value < 1000 else f"{figure.value:,.0f}",
                figure.unit,
                "" if figure.ratio is None else f"{figure.ratio:.3g}",
                "" if bound is None else str(bound),
                "" if bound is None else bound.verdict(figure),
                figure.against or "",
            ).rstrip(),
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
