"""Runs that are started here while there is no room to hold them: stored together, as queued.

A burst of starts on the worker's loop would otherwise be one commit each. They are gathered for one
iteration of the loop; whoever must be sure of one of them stores all that were gathered.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from perdure.core.errors import StoreError, StoreUnavailable, TidTaken
from perdure.core.run import NewRun
from perdure.engine.committer import Committer
from perdure.store import Store

logger = logging.getLogger("perdure.engine")

PAUSE_SECONDS = 0.5
"""Between tries of a store that takes nothing just now."""


class Newcomer:
    """A run that is about to be queued.

    Attributes:
        tid: The run; it may change until it is stored.
        birth: The run to be stored, or None: it is stored.
    """

    __slots__ = ("birth", "tid")

    def __init__(self, run: NewRun) -> None:
        self.tid = run.tid
        self.birth: NewRun | None = run


class Intake:
    """Gathers newcomers and stores them.

    Args:
        new_tid: Another TID for one that is taken.
        stored: Called on the loop after some were stored.
    """

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        committer: Committer,
        *,
        new_tid: Callable[[], int],
        stored: Callable[[], None],
    ) -> None:
        self._store = store
        self._loop = loop
        self._committer = committer
        self._new_tid = new_tid
        self._stored = stored
        self._gathered: list[Newcomer] = []
        self._is_due = False

    def add(self, run: NewRun) -> Newcomer:
        """Take a run in; it is stored with others, soon."""
        newcomer = Newcomer(run)
        self._gathered.append(newcomer)
        self._plan(0.0)
        return newcomer

    def ensure_stored(self, newcomer: Newcomer) -> None:
        """Store what was gathered before this returns.

        Raises:
            StoreUnavailable: It cannot be stored now; it will be tried again.
        """
        while newcomer.birth is not None:
            group = [one for one in self._gathered if one.birth is not None] or [newcomer]
            try:
                self._committer.run_now(partial(self._submit, group))
            except TidTaken as error:
                self._rename(group, error.tid)
            else:
                self._finish(group)

    def store_all(self) -> None:
        """Store what was gathered, before the loop ends; what cannot be stored is logged."""
        try:
            for one in list(self._gathered):
                self.ensure_stored(one)
        except StoreError as error:
            lost = len(self._gathered)
            logger.critical("%d runs that were started were not stored: %s", lost, error)

    def _plan(self, seconds: float) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(seconds, self._flush)

    def _flush(self) -> None:
        self._is_due = False
        group = [one for one in self._gathered if one.birth is not None]
        if group:
            done = partial(self._answered, group)
            self._committer.submit(lambda: self._submit(group), done, weight=len(group))

    def _submit(self, group: list[Newcomer]) -> None:
        self._store.submit([one.birth for one in group if one.birth is not None])

    def _answered(self, group: list[Newcomer], _answer: Any, error: BaseException | None) -> None:
        if error is None:
            self._finish(group)
        elif isinstance(error, TidTaken):
            self._rename(group, error.tid)
            self._plan(0.0)
        else:
            level = logging.WARNING if isinstance(error, StoreUnavailable) else logging.ERROR
            logger.log(level, "%d runs cannot be stored, trying again: %s", len(group), error)
            self._plan(PAUSE_SECONDS)

    def _finish(self, group: list[Newcomer]) -> None:
        for one in group:
            one.birth = None
        self._gathered = [one for one in self._gathered if one.birth is not None]
        self._stored()

    def _rename(self, group: list[Newcomer], tid: int) -> None:
        for one in group:
            if one.tid == tid and one.birth is not None:
                one.tid = self._new_tid()
                one.birth = dataclasses.replace(one.birth, tid=one.tid)
