"""Where a loop hangs that does not turn any more, and whether it is the fault of what it runs.

A loop may be silent for long without any fault of its code: a store verb waits for a database that
does not answer, or somebody stands in a debugger. Neither is a reason to end a process.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_STORES = str(Path(__file__).parents[1] / "stores") + os.sep
_STANDARD = sysconfig.get_path("stdlib") + os.sep
_INSTALLED = tuple(_STANDARD + folder + os.sep for folder in ("site-packages", "dist-packages"))
"""Outside a virtual environment what was installed lies in the library's folder."""
_DEBUGGERS = {
    "bdb",  # below every debugger that is made of Python's own: pdb, ipdb, pudb
    "pdb",
    "debugpy",
    "pydevd",
    "pydevd_tracing",
    "_pydev_bundle",
    "_pydevd_bundle",
    "_pydevd_frame_eval",
    "_pydevd_sys_monitoring",
}
"""Packages, and modules outside of packages, by their whole name."""


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
    own = [each for each in frames if not _is_of_python(each)]
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


def _is_of_python(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(_STANDARD) and not file.startswith(_INSTALLED)


def _is_excuse(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return frame.f_code.co_filename.startswith(_STORES) or package in _DEBUGGERS
