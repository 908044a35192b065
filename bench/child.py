"""A fresh process that calls one function of this package: `python -m bench.child WHAT ARGUMENTS`."""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    what, arguments = sys.argv[1:]
    module, _, function = what.partition(":")
    if not module.startswith("bench."):
        sys.exit(f"{what!r} is no function of the benchmarks")
    out = os.dup(1)
    os.dup2(2, 1)  # whatever is printed on the way is no answer
    answer = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    with open(out, "w", encoding="utf-8") as pipe:
        json.dump(answer, pipe)


if __name__ == "__main__":
    main()
