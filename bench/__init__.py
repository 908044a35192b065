"""What Perdure is measured by: every figure as a ratio, both sides in one interleaved run.

`python -m bench` measures all; `python -m bench NAME --json` one, in under a minute, a JSON line per
value. How to read the figures: docs/performance.md.

The rules of this folder:

1. A benchmark is one file of one noun with a `measure(quick)` that yields `Figure`s.
2. What is compared takes turns (A B, B A, A B …) on the same disk, in the same durability mode, and
   the figure is the median of the rounds' ratios: a machine that others share changes its speed
   within seconds, and a ratio of two moments tells about the machine.
3. What is measured runs in processes of its own (`child.py`), in a project that is made for it and
   deleted afterwards (`ground.py`), through the names that users import.
4. A workload proves its result: a benchmark of something that does not work fails.
"""
