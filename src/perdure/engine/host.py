"""What the engine asks of the worker around it."""

from __future__ import annotations

from typing import Protocol

from perdure.engine.resident import Definition


class Host(Protocol):
    """The worker, as far as the engine has to do with it."""

    worker_id: int
    namespace: str
    queue: str

    def new_tid(self) -> int:
        """A TID that this process has not used."""
        ...

    def may_start(self) -> bool:
        """Whether the lease holds, so that something new may be started."""
        ...

    def has_room(self) -> bool:
        """Whether one more run may be held here."""
        ...

    def source_of(self, definition: Definition) -> str:
        """Where the code of a definition can be imported from."""
        ...

    def stranger(self, definition: Definition, source: str) -> str:
        """The file that declares the code of a run with this source, if that is other code than
        this definition under the same name; "" if all is well."""
        ...

    def fingerprint(self) -> str:
        """What identifies the code that this worker has loaded."""
        ...

    def claimable(self, at: int | None) -> None:
        """There may be something to claim at this time (µs; None: now)."""
        ...

    def run_left(self) -> None:
        """A run is no longer in memory here: there is room for another one."""
        ...

    def lost(self) -> None:
        """The worker was buried: what it held is no longer its own."""
        ...
