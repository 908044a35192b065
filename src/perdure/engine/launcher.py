"""From a recorded step to an attempt of it, and from its landing to an event.

The launcher holds the rules around attempts: nothing starts while the lease is in doubt or the
worker drains; an at-most-once step is recorded as started first; a landing counts only if its run
is still here, under the same claim, and still waits for that very flight.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from perdure.author.context import Progress
from perdure.author.function import Function
from perdure.core.codec import JSON
from perdure.core.errors import StepError, StepInterrupted
from perdure.core.events import Event, EventKind, Step
from perdure.core.retry import decide_retry
from perdure.engine.resident import Resident
from perdure.engine.steps import Flight, Steps
from perdure.engine.threads import Threads

logger = logging.getLogger("perdure.engine")

MAX_INTERRUPTIONS = 3
"""How often steps of a run may be cancelled by somebody else before that counts as a failure."""
HELD_BACK_SECONDS = 0.1
"""How often steps that wait for a valid lease are tried."""
PROGRESS_SECONDS = 1.0
"""How often the latest progress is written down."""


class Runway(Protocol):
    """What the launcher asks of the engine."""

    residents: dict[int, Resident]
    is_draining: bool

    def now(self) -> int:
        """Store time (µs)."""
        ...

    def post(self, resident: Resident, event: Event) -> None:
        """Queue an event of a run."""
        ...

    def go_on(self, resident: Resident, event: Event) -> None:
        """Queue an event of a run, and act on it at once if that disturbs nobody."""
        ...

    def write_progress(self, latest: dict[int, str]) -> None:
        """Write the latest progress of runs down (JSON text by TID)."""
        ...


class Launcher:
    """Launches and stops step attempts, and posts what becomes of them.

    Attributes:
        in_flight: How many attempts are in progress.
    """

    def __init__(
        self,
        runway: Runway,
        loop: asyncio.AbstractEventLoop,
        threads: Threads,
        may_begin: Callable[[], bool],
    ) -> None:
        self.in_flight = 0
        self._runway = runway
        self._loop = loop
        self._steps = Steps(
            loop,
            threads,
            self._landed,
            self._interrupted,
            may_begin=may_begin,
            postponed=self._postponed,
        )
        self._held_back: list[tuple[Resident, int]] = []
        self._latest: dict[int, tuple[int, Progress]] = {}
        self._is_flush_due = False
        self._random = random.Random()

    def launch(self, resident: Resident, ordinal: int) -> None:
        """Start the next attempt of a recorded step."""
        runway = self._runway
        if runway.is_draining and ordinal not in resident.started:
            return  # it is recorded; whoever takes the run over launches it
        pending = resident.machine.pending[ordinal]
        command = pending.command
        function = pending.target
        assert isinstance(command, Step)
        assert isinstance(function, Function)
        attempt = resident.tries.get(ordinal, 1) if resident.tries else 1
        if function.on_crash == "fail" and resident.started.get(ordinal) != attempt:
            event = Event(kind=EventKind.STEP_STARTED, ordinal=ordinal, step_attempt=attempt)
            runway.post(resident, event)
            return
        if resident.retries:
            resident.retries.pop(ordinal, None)
        flight = Flight(
            command,
            ordinal,
            function,  # pyright: ignore[reportUnknownArgumentType] - of any inputs and result
            attempt,
            resident,
            resident.tid,
            self._note_progress,
        )
        resident.flights[ordinal] = flight
        self.in_flight += 1
        self._steps.launch(flight)

    def stop(self, resident: Resident, ordinal: int) -> None:
        """Nobody waits for this step any more."""
        resident.answered(ordinal)
        flight = resident.flights.pop(ordinal, None)
        if flight is not None:
            self.in_flight -= 1
            self._steps.stop(flight)

    def stop_all(self, resident: Resident) -> None:
        """Stop every attempt of a run, which goes on elsewhere or not at all."""
        while resident.flights:
            _ordinal, flight = resident.flights.popitem()
            self.in_flight -= 1
            self._steps.stop(flight)

    def report_interrupted(self, resident: Resident, ordinal: int, function: Any) -> None:
        """An at-most-once attempt was running when the last worker died: it has failed."""
        error = StepInterrupted(
            f"{function.name}() was running when its worker died, and on_crash='fail' forbids to "
            "run it again",
            type_name="perdure.core.errors:StepInterrupted",
        )
        self._runway.post(
            resident,
            Event(
                kind=EventKind.STEP_FAILED,
                ordinal=ordinal,
                value=JSON.encode_error(error),
                step_attempt=resident.started.get(ordinal),
            ),
        )

    # --- landings ----------------------------------------------------------------------------------

    def _landed(self, flight: Flight, value: str | None, error: BaseException | None) -> None:
        resident = self._runway.residents.get(flight.tid)
        if resident is None or resident.flights.get(flight.ordinal) is not flight:
            logger.warning("%s ended after its run was let go of; its outcome is refused", flight)
            return
        del resident.flights[flight.ordinal]
        self.in_flight -= 1
        if error is None:
            event = Event(
                kind=EventKind.STEP_COMPLETED,
                ordinal=flight.ordinal,
                value=value,
                step_attempt=flight.attempt,
            )
        else:
            event = self._failure(flight, error)
        self._runway.go_on(resident, event)

    def _failure(self, flight: Flight, error: BaseException) -> Event:
        due = decide_retry(
            flight.function.retry,
            error,
            flight.attempt,
            now=self._runway.now(),
            rng=self._random,
        )
        if due is not None:
            logger.info("%s failed (%r); attempt %d follows", flight, error, flight.attempt + 1)
        return Event(
            kind=EventKind.STEP_FAILED if due is None else EventKind.STEP_RETRYING,
            ordinal=flight.ordinal,
            value=JSON.encode_error(error),
            step_attempt=flight.attempt,
            due=due,
        )

    def _interrupted(self, flight: Flight) -> None:
        """Somebody else cancelled the task of a step: it has no outcome, and runs again later."""
        resident = self._resident_of(flight)
        if resident is not None:
            del resident.flights[flight.ordinal]
            self.in_flight -= 1
            resident.interruptions += 1
            if resident.interruptions > MAX_INTERRUPTIONS:
                # Nobody outside does that so often: it cancels itself.
                error = StepError(f"{flight.function.name}() was cancelled again and again")
                self._runway.post(resident, self._failure(flight, error))
                return
            logger.warning("%s was cancelled from outside; it will be run again", flight)
            self._hold_back(resident, flight.ordinal, 1.0)

    def _postponed(self, flight: Flight) -> None:
        """The lease was over when the body was about to begin: it begins when the lease holds."""
        resident = self._resident_of(flight)
        if resident is not None:
            del resident.flights[flight.ordinal]
            self.in_flight -= 1
            self._hold_back(resident, flight.ordinal, HELD_BACK_SECONDS)

    def _resident_of(self, flight: Flight) -> Resident | None:
        resident = self._runway.residents.get(flight.tid)
        if resident is not None and resident.flights.get(flight.ordinal) is flight:
            return resident
        return None

    # --- held back ---------------------------------------------------------------------------------

    def _hold_back(self, resident: Resident, ordinal: int, seconds: float) -> None:
        if not self._held_back:
            self._loop.call_later(seconds, self._launch_held_back)
        self._held_back.append((resident, ordinal))

    def _launch_held_back(self) -> None:
        held_back, self._held_back = self._held_back, []
        for resident, ordinal in held_back:
            if (
                self._runway.residents.get(resident.tid) is resident
                and ordinal in resident.machine.pending
                and ordinal not in resident.flights
            ):
                self.launch(resident, ordinal)

    # --- progress ----------------------------------------------------------------------------------

    def _note_progress(self, tid: int, ordinal: int, progress: Progress) -> None:
        # Called from steps, on the loop or in threads: keep the latest, write once a second.
        self._latest[tid] = (ordinal, progress)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon_threadsafe(
                self._loop.call_later, PROGRESS_SECONDS, self._flush_progress
            )

    def _flush_progress(self) -> None:
        self._is_flush_due = False
        latest, self._latest = self._latest, {}
        texts = {
            tid: msgspec.json.encode(
                {
                    "step": ordinal,
                    "done": progress.done,
                    "total": progress.total,
                    "message": progress.message,
                }
            ).decode()
            for tid, (ordinal, progress) in latest.items()
            if tid in self._runway.residents
        }
        if texts:
            self._runway.write_progress(texts)
