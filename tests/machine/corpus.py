"""Journals of many bodies in many orders: written here, repeated anywhere.

python -m tests.machine.corpus write SEEDS > journals.json
python -m tests.machine.corpus repeat < journals.json      (exit code 1 and the differences)
"""

from __future__ import annotations

import random
import sys

import msgspec

from tests.machine import bodies
from tests.machine.driver import Journal, Play, repeat


def write(seeds: range) -> list[Journal]:
    """Play every body, and as many random programs, once for each seed."""
    journals: list[Journal] = []
    for seed in seeds:
        for name in [*bodies.BODIES, f"program_{seed}", f"program_{seed + 1_000_000}"]:
            dice = random.Random(f"{name} {seed}")
            play = Play(bodies.find(name), tid=dice.getrandbits(62))
            play.start()
            play.answer_randomly(dice, cancels=seed % 2 == 1)
            journals.append(Journal(name, play.machine.tid, play.rows, play.ending))
            play.machine.close()
    return journals


def differences(journals: list[Journal]) -> list[str]:
    """Repeat journals; how they differ from what was recorded."""
    return [wrong for journal in journals for wrong in repeat(journal, bodies.find(journal.body))]


def main(arguments: list[str]) -> int:
    if arguments[0] == "write":
        sys.stdout.buffer.write(msgspec.json.encode(write(range(int(arguments[1])))))
        return 0
    journals = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Journal])
    wrong = differences(journals)
    print(f"{len(journals)} journals, {len(wrong)} differ")
    print(*wrong[:5], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
