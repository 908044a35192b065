"""Where a loop hangs that does not turn any more, and whether it is the fault of what it runs.

A loop may be silent for long without any fault of its code: a store verb waits for a database that
does not answer, or somebody stands in a debugger. Neither is a reason to end a process.
"""

from __future__ import annotations

import sys
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_STORES = str(Path(__file__).parents[1] / "stores")
_STANDARD = sysconfig.get_path("stdlib")
_DEBUGGERS = ("pdb", "bdb", "pydevd", "_pydevd", "debugpy")


@dataclass(frozen=True, slots=True)
class Hang:
    """What a thread executes at this moment.

    Attributes:
        place: The innermost line that is not Python's own: "/srv/shop.py, line 12, in price".
        stack: The whole of it, as text.
        is_excused: It waits for a database, or for a person with a debugger.
    """

    place: str
    stack: str
    is_excused: bool


def hang_of(thread: int) -> Hang:
    """Look at what a thread (`threading.get_ident()`) executes."""
    # The function is public and documented; its underscore warns of its cost.
    frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
    if frame is None:
        return Hang("a thread that is gone", "  (its thread is gone)", is_excused=True)
    frames = _outwards(frame)
    own = [each for each in frames if not each.f_code.co_filename.startswith(_STANDARD)]
    code = (own or frames)[0]
    return Hang(
        place=f"{code.f_code.co_filename}, line {code.f_lineno}, in {code.f_code.co_name}",
        stack="".join(traceback.format_stack(frame)).rstrip(),
        is_excused=any(map(_is_excuse, frames)),
    )


def _outwards(frame: FrameType | None) -> list[FrameType]:
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _is_excuse(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return frame.f_code.co_filename.startswith(_STORES) or module.startswith(_DEBUGGERS)
