"""The handle of a run: its status, its result, its journal, the ways to cancel and to retry it.

One class for plain and async code: ``run.result()`` blocks, ``await run`` does not. The short
questions (status, cancel, retry) ask the store directly and return at once in both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from perdure.author import registry
from perdure.author.function import Function
from perdure.author.workflow import Workflow
from perdure.client.connection import Connection, without_driver
from perdure.client.host import Host, current_host
from perdure.client.journal import Entry, Reader
from perdure.client.serving import Caretaker, ensure_served, say_what_goes_on
from perdure.client.waiting import Ear, stands_still, wait_until_final, wait_until_final_async
from perdure.core import duration
from perdure.core.codec import JSON, Shape
from perdure.core.codec.failures import TRACEBACK
from perdure.core.decide import Retried
from perdure.core.duration import Duration
from perdure.core.errors import (
    RunCancelled,
    RunError,
    RunFailed,
    RunNotFound,
    RunStuck,
    StepError,
    UsageError,
)
from perdure.core.events import EventKind
from perdure.core.inbox import Delivered, NewMail
from perdure.core.run import Run as Record
from perdure.core.run import Status

if TYPE_CHECKING:
    from perdure.core.events import Row
    from perdure.engine.intake import Newcomer
    from perdure.engine.resident import Definition, Resident
    from perdure.engine.waiters import Ending

R = TypeVar("R")


class Run(Generic[R]):
    """A run that was started. Made by `start`, `get_run` and `list_runs`.

    In async code ``await run`` waits without blocking; it gives and raises what `result` does.
    """

    def __init__(
        self,
        connection: Connection,
        tid: int,
        *,
        name: str = "",
        resident: Resident | Newcomer | None = None,
        definition: Definition | None = None,
    ) -> None:
        self._connection = connection
        self._tid = tid
        self._name = name
        self._resident = resident
        self._definition = definition

    # --- identity ---------------------------------------------------------------------------------

    @property
    def tid(self) -> str:
        """The run's TID, 19 digits. Whoever reads it may rely on the run being stored."""
        return str(self._stored_tid())

    @property
    def name(self) -> str:
        """The name of its workflow or function."""
        return self._name or self.record().name

    def _stored_tid(self) -> int:
        resident = self._resident
        if resident is None:
            return self._tid
        if resident.birth is not None:
            host = self._host()
            if host is not None:
                engine = host.worker.engine
                if host.is_on_this_loop():
                    engine.ensure_stored(resident)
                else:
                    host.call(lambda: engine.ensure_stored(resident))
        self._tid = resident.tid
        if resident.birth is None:
            self._resident = None
        return self._tid

    def _host(self) -> Host | None:
        host = current_host()
        if host is not None and host.connection.settings.store == self._connection.settings.store:
            return host
        return None

    def __repr__(self) -> str:
        return f"<run {self.tid} of {self._name or '?'}>"

    # --- asking -----------------------------------------------------------------------------------

    @without_driver
    def record(self) -> Record:
        """All that the store knows of the run.

        Returns:
            Its row: `status`, `reason` (why it is stuck or blocked), `attempt`, `crashes`, `key`,
            `created_at`, `started_at`, `finished_at`, `wake_at` (µs since the epoch, or None),
            `input`, `output`, `error` and `progress` (JSON text, or None), and what else it was
            started with.

        Raises:
            RunNotFound: It was deleted.
        """
        tid = self._stored_tid()
        record = self._connection.store.get(tid)
        if record is None:
            raise RunNotFound(f"there is no run {tid} in {self._connection.store.url}")
        return record

    def status(self) -> Status:
        """Where the run stands now, as the store has it.

        Raises:
            RunNotFound: It was deleted.
        """
        return self.record().status

    def wait(self, timeout: Duration | None = None) -> Status:
        """Block until the run is finished (or stuck or blocked, where waiting is of no use).

        A run that was cancelled may be finished a moment before its children are: wait for them
        by their own handles.

        Args:
            timeout: Seconds, or a duration such as "1m"; None: as long as it takes.

        Returns:
            Where it stands then.

        Raises:
            TimeoutError: It is not finished yet; the run goes on.
            UsageError: Called on the loop that executes the run, which it would block.
        """
        return self._wait(timeout).status

    def result(self, timeout: Duration | None = None) -> R:
        """Block until the run is finished, and return what its body returned.

        Args:
            timeout: Seconds, or a duration such as "1m"; None: as long as it takes.

        Raises:
            RunFailed: Its body raised; the exception is the cause.
            RunCancelled: It was cancelled.
            RunStuck: It is stuck or blocked and waits for a person. (All three are RunErrors.)
            TimeoutError: It is not finished yet; the run goes on.
            UsageError: Called on the loop that executes the run, which it would block.
        """
        return self._result_of(self._wait(timeout))

    @without_driver
    def _wait(self, timeout: Duration | None) -> Record:
        seconds = None if timeout is None else duration.parse(timeout) / 1_000_000
        host = self._host()
        if host is not None and host.is_on_this_loop():
            raise UsageError(
                "result() and wait() would block the loop that executes the run; write: await run"
            )
        tid = self._stored_tid()
        try:
            record = wait_until_final(
                self._connection.store, host, tid, seconds, look_after=self._caretaker(host)
            )
        except KeyboardInterrupt:
            say_what_goes_on(self._connection, tid)
            raise
        if record is None:
            now = self.record()
            raise TimeoutError(f"run {tid} is still {now.status} after {seconds:g} s")
        return record

    def _caretaker(self, host: Host | None) -> Callable[[], object]:
        """Called while somebody waits: looks for a worker unless one lives in this process."""
        caretaker: Caretaker | None = None

        def look() -> None:
            nonlocal caretaker
            if host is not None and host.running() is not None:
                return
            if caretaker is None:
                caretaker = Caretaker(self._connection, self.name)
            caretaker.look()

        return look

    def __await__(self) -> Generator[Any, Any, R]:
        return self._awaited().__await__()

    async def _awaited(self) -> R:
        resident, host = self._resident, self._host()
        if resident is not None and host is not None and host.is_on_this_loop():
            # Born on this loop: the engine tells how it ended, without a look at the store.
            engine = host.worker.engine
            if engine.residents.get(resident.tid) is resident:
                ended: asyncio.Future[Ending | None] = host.loop.create_future()

                def tell(ending: Ending | None) -> None:
                    if not ended.done():
                        ended.set_result(ending)

                engine.when_ended(resident.tid, tell)
                try:
                    ending = await ended
                finally:
                    engine.forget_waiter(resident.tid, tell)
                if ending is not None:
                    return self._decoded(*ending)
        tid = self._stored_tid()
        record = await wait_until_final_async(
            self._connection.store, host, tid, look_after=self._caretaker(host)
        )
        if record is None:
            raise RunNotFound(f"there is no run {tid} in {self._connection.store.url}")
        return self._result_of(record)

    def _result_of(self, record: Record) -> R:
        if record.status in (Status.STUCK, Status.BLOCKED):
            raise RunStuck(
                f"run {record.tid} of {record.name} is {record.status}: {record.reason}",
                tid=record.tid,
            )
        return self._decoded(record.status, record.output, record.error, record)

    def _decoded(
        self, status: Status, output: str | None, error: str | None, record: Record | None = None
    ) -> R:
        name = record.name if record is not None else self._name
        if status is Status.COMPLETED:
            definition = self._definition_of(name, record)
            if isinstance(definition, Workflow | Function):
                return cast(R, definition.contract.decode_output(JSON, output or "null"))
            return cast(R, JSON.decode(output or "null", Shape.of(Any)))
        tid = self._stored_tid()
        cause = JSON.decode_error(error) if error is not None else None
        if status is Status.CANCELLED:
            raise RunCancelled(f"run {tid} of {name} was cancelled", tid=tid) from cause
        if status is Status.FAILED:
            why = f": {_class_of(cause)}: {cause}" if cause is not None else ""
            recorded = getattr(cause, TRACEBACK, "")
            if cause is not None and recorded:
                # It was rebuilt from the journal: without this it would show no line of its own.
                cause.add_note(f"As it was recorded:\n{recorded.rstrip()}")
            raise RunFailed(f"run {tid} of {name} failed{why}", tid=tid) from cause
        raise RunError(f"run {tid} of {name} ended as {status}", tid=tid) from cause

    def _definition_of(self, name: str, record: Record | None) -> object:
        """What says how the result is read: what was started here, if it is that (who has the key
        may be of another version), else what is declared under the name."""
        mine = self._definition
        if mine is not None and (record is None or record.version == mine.version):
            return mine
        version = record.version if record is not None else ""
        return registry.find(name, version) or registry.latest(name)

    # --- its journal ------------------------------------------------------------------------------

    def events(self, *, follow: bool = False) -> Iterator[Entry]:
        """The run's journal, oldest entry first.

        Args:
            follow: Go on with what comes, until the run is finished, stuck or blocked; blocks in
                between.
        """
        tid = self._stored_tid()
        store = self._connection.store
        reader = Reader()
        seq = -1
        if not follow:
            for row in store.journal(tid):
                yield reader.read(row)
            return
        host = self._host()
        look_after = self._caretaker(host)
        with Ear(store, host, tid) as ear:
            while True:
                is_over = stands_still(self.record())
                for row in store.journal(tid, after=seq):
                    seq = row.seq
                    yield reader.read(row)
                if is_over:
                    return
                look_after()
                ear.wait(None)

    def rows(self) -> list[Row]:
        """The run's journal as it is recorded; `perdure.testing.replay` replays it."""
        return self._connection.store.journal(self._stored_tid())

    # --- asking it to end, and to go on -------------------------------------------------------------

    @without_driver
    def cancel(self, reason: str | None = None) -> bool:
        """Ask the run to end: its body sees `asyncio.CancelledError` and may clean up.

        Args:
            reason: Why, for the journal.

        Returns:
            Whether the request was accepted; False: the run is finished already.

        Raises:
            RunNotFound: It was deleted.
            StoreError: The store cannot do it.
        """
        tid = self._stored_tid()
        store = self._connection.store
        mail = NewMail(
            tid=tid,
            dedup_key="cancel",
            kind=EventKind.CANCEL_REQUESTED,
            value=JSON.encode(reason, Shape.of(Any), at="reason"),
        )
        delivered = store.deliver(mail, store.now())
        if delivered is Delivered.UNKNOWN:
            raise RunNotFound(f"there is no run {tid} in {store.url}")
        store.poke()
        host = self._host()
        if host is not None:
            host.wake()
        return delivered is not Delivered.TOO_LATE

    @without_driver
    def retry(self) -> bool:
        """Try a stuck run again, whatever it was parked for: mend the cause first.

        What is recorded is not executed again. A worker takes the run up at once: this process's
        own if it hosts and knows the code, else any that is alive, else the project's background
        worker, which is started.

        Returns:
            Whether the run is queued again; False: it is not stuck, and nothing was changed.

        Raises:
            RunNotFound: It was deleted.
            StoreError: The store cannot do it.
        """
        tid = self._stored_tid()
        store = self._connection.store
        retried = store.retry(tid, store.now())
        if retried is Retried.UNKNOWN:
            raise RunNotFound(f"there is no run {tid} in {store.url}")
        if retried is Retried.NOT_STUCK:
            return False
        store.poke()
        record = self.record()
        host = self._host()
        if host is not None:
            host.wake()
        if host is None or registry.find(record.name, record.version) is None:
            ensure_served(self._connection, record.name)
        return True


def _class_of(error: BaseException) -> str:
    """The name of an error's class, also where only its name came through."""
    if type(error) is StepError and error.type_name:
        return error.type_name.rpartition(":")[2]
    return type(error).__name__
