"""The inbox: what outsiders put before a run, until a turn moves it into the journal.

What becomes of a delivery is decided in `decide`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from perdure.core.events import EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMail:
    """Something an outsider puts before a run.

    Attributes:
        tid: The run.
        dedup_key: A second delivery with the same key is ignored (`UNIQUE(tid, dedup_key)`).
        kind, value, ordinal: The event that it will become.
    """

    tid: int
    dedup_key: str
    kind: EventKind
    value: str | None = None
    ordinal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """An inbox row: a `NewMail` with its id; ids grow in the order of arrival."""

    id: int
    tid: int
    kind: EventKind
    value: str | None
    ordinal: int | None


class Delivered(StrEnum):
    """What became of a delivery."""

    ACCEPTED = "accepted"
    """It lies in the inbox, and the run will see it."""
    REPEATED = "repeated"
    """The same delivery was accepted before."""
    ENDED = "ended"
    """It ended the run at once: no body was there to see it."""
    TOO_LATE = "too_late"
    """The run is finished."""
    UNKNOWN = "unknown"
    """There is no such run."""
