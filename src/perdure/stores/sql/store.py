"""The port on an SQL database: each verb in a transaction of its own.

The modules of the verbs are imported when a verb is first called: a command that only looks at
runs starts without the machinery of those that execute them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from perdure.core.run import NewRun, Run
from perdure.store import Claim, Listener, RunFilter, Submitted, Unclaimed, WorkerRow
from perdure.stores.sql import reading
from perdure.stores.sql.database import Database

if TYPE_CHECKING:
    from perdure.core.decide import Retried, Turn, Verdict
    from perdure.core.events import Row
    from perdure.core.inbox import Delivered, Mail, NewMail


class SqlStore:
    """A store on an SQL database; see `perdure.store.Store` for what each verb does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.url = database.url
        # Asked several times per step: no call in between.
        self.now: Callable[[], int] = database.now
        self._turn: Callable[..., list[Verdict]] | None = None

    def close(self) -> None:
        self._database.close()

    # --- starting and reading -----------------------------------------------------------------

    def submit(self, runs: Sequence[NewRun]) -> list[Submitted]:
        from perdure.stores.sql import births, bulk

        return bulk.write(self._database, births.submit, runs)

    def get(self, tid: int) -> Run | None:
        return self._database.read(reading.get, tid)

    def runs(self, where: RunFilter) -> list[Run]:
        return self._database.read(reading.runs, where)

    def match(self, digits: str, limit: int = 3) -> list[int]:
        return self._database.read(reading.match, digits, limit)

    def journal(self, tid: int, after: int = -1, limit: int | None = None) -> list[Row]:
        return self._database.read(reading.journal, tid, after, limit)

    def children(self, tid: int) -> list[tuple[int, int]]:
        return self._database.read(reading.children, tid)

    # --- executing ---------------------------------------------------------------------------

    def claim(self, what: Claim, now: int) -> list[Run]:
        from perdure.stores.sql import claims

        return self._database.write_lightly(claims.claim, what, now)

    def held(self, worker: int) -> list[tuple[int, int]]:
        return self._database.read(reading.held, worker)

    def due(self, what: Claim) -> int | None:
        from perdure.stores.sql import claims

        return self._database.read(claims.due, what)

    def unclaimed(
        self, what: Claim, now: int, *, blocked: bool = False, importable: bool = False
    ) -> list[Unclaimed]:
        return self._database.read(reading.unclaimed, what, now, blocked, importable)

    def block(self, what: Unclaimed, namespace: str, reason: str, now: int) -> int:
        from perdure.stores.sql import claims

        return self._database.write(claims.block, what, namespace, reason, now)

    def unpark(self, names: Sequence[tuple[str, str]], namespace: str, code: str, now: int) -> int:
        from perdure.stores.sql import claims

        return self._database.write(claims.unpark, names, namespace, code, now)

    def retry(self, tid: int, now: int) -> Retried:
        from perdure.stores.sql import claims

        return self._database.write(claims.retry, tid, now)

    def turn(self, turns: Sequence[Turn], births: Sequence[NewRun], now: int) -> list[Verdict]:
        if self._turn is None:
            from perdure.stores.sql.turns import turn

            self._turn = turn
        return self._turn(self._database, turns, births, now)

    def deliver(self, mail: NewMail, now: int) -> Delivered:
        from perdure.stores.sql import letters

        return self._database.write(letters.deliver, mail, now)

    def inbox(self, tid: int, limit: int = 100) -> list[Mail]:
        return self._database.read(reading.inbox, tid, limit)

    def mail(self, worker: int) -> list[int]:
        return self._database.read(reading.mail, worker)

    # --- workers -------------------------------------------------------------------------------

    def register(self, worker: WorkerRow) -> None:
        from perdure.stores.sql import leases

        self._database.write_lightly(leases.register, worker)

    def renew(self, worker: int, lease_until: int) -> bool:
        from perdure.stores.sql import leases

        return self._database.write_lightly(leases.renew, worker, lease_until)

    def workers(self) -> list[WorkerRow]:
        return self._database.read(reading.workers)

    def bury(self, worker: int, now: int, *, proven: bool) -> int | None:
        from perdure.stores.sql import leases

        return self._database.write(leases.bury, worker, now, proven)

    def retire(self, worker: int, *, if_idle: bool = False) -> int | None:
        from perdure.stores.sql import leases

        return self._database.write(leases.retire, worker, if_idle)

    def progress(self, worker: int, latest: Mapping[int, str]) -> None:
        from perdure.stores.sql import leases

        self._database.write_lightly(leases.progress, worker, latest)

    # --- waking --------------------------------------------------------------------------------

    def poke(self) -> None:
        self._database.poke()

    def listen(self) -> Listener:
        return self._database.listen()
