"""Random programs, played on two stores side by side: whatever one answers, the other must.

The first store is usually the one in memory, which is written to be read; the second is the one
under test. After every step all that can be seen is compared: runs, journals, inboxes, workers.

    TestMyStore = machine(MemoryStore, lambda: MyStore(...)).TestCase

Names, keys, TIDs and times are few, so that programs meet themselves: the same key again, a late
turn, a parent and its child, a run that crashes often. Workers behave badly on purpose: they send
turns of old attempts, repeat what was committed, and go on after they were buried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perdure.core.decide import Finish, HandBack, Next, Park, Suspend, Turn
from perdure.core.errors import PerdureError
from perdure.core.events import Event, EventKind, Row
from perdure.core.inbox import Mail, NewMail
from perdure.core.run import Kind, NewRun, Run, Status
from perdure.store import Claim, RunFilter, Store, Unclaimed, WorkerRow

T = TypeVar("T")

BEGIN = 1_700_000_000_000_000
LEASE = 50
NAMES = [("a", ""), ("b", ""), ("b", "2")]
LONG = '"' + "x" * (17 * 1024) + '"'
"""A value that SQL backends keep elsewhere."""

workers = st.sampled_from([101, 102, 103])
namespaces = st.sampled_from(["default", "default", "default", "eu"])
queues = st.sampled_from(["default", "default", "slow"])
names = st.sampled_from(NAMES)
values = st.sampled_from(["null", "1", '"é"', LONG])
optional_values = st.none() | values
keys = st.sampled_from([None, None, None, "k", "l"])
codes = st.sampled_from(["abc", "def"])
choices = st.integers(0, 10**6)


def machine(
    model: Callable[[], Store], subject: Callable[[], Store]
) -> type[RuleBasedStateMachine]:
    """A state machine that compares two stores, each made empty for every program."""

    class ThisStoreMachine(StoreMachine):
        make_model = staticmethod(model)
        make_subject = staticmethod(subject)

    return ThisStoreMachine


class StoreMachine(RuleBasedStateMachine):
    """One program: every rule is a call of the port on both stores."""

    make_model: Callable[[], Store]
    make_subject: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.stores = (self.make_model(), self.make_subject())
        self.time = BEGIN
        self.next_tid = 1
        self.submitted: list[NewRun] = []
        self.turns: list[Turn] = []
        """Turns that were sent, to be repeated."""

    def teardown(self) -> None:
        for store in self.stores:
            store.close()

    # --- both at once --------------------------------------------------------------------------

    def both(self, verb: Callable[[Store], T]) -> T | None:
        """Call both stores and compare; returns the answer of the first, None for an error."""
        first, second = (_answer(verb, store) for store in self.stores)
        assert first == second, f"answered {first!r} and {second!r}"
        kind, answer = first
        return answer if kind is None else None

    def known(self) -> list[Run]:
        """All runs, as the first store has them."""
        return sorted(
            self.stores[0].runs(RunFilter(namespace=None, limit=10_000)), key=lambda run: run.tid
        )

    def pick(self, choice: int) -> Run | None:
        """One of the runs."""
        runs = self.known()
        return runs[choice % len(runs)] if runs else None

    def held(self) -> list[Run]:
        """The runs that somebody holds."""
        return [run for run in self.known() if run.status is Status.RUNNING]

    def new_tid(self) -> int:
        self.next_tid += 1
        return self.next_tid

    # --- rules ---------------------------------------------------------------------------------

    @initialize(data=st.data())
    def somebody_and_something(self, data: st.DataObject) -> None:
        """Two workers and a few runs, some of them held from birth."""
        for worker in (101, 102):
            self.register(worker)
        self.submit_runs([self.draw_run(data, worker=w) for w in (None, None, 101, 102)])

    def register(self, worker: int) -> None:
        row = WorkerRow(
            id=worker,
            name=f"w{worker}",
            host="h",
            boot_id="b",
            pid_namespace="p",
            pid=1,
            started=1,
            lease_until=self.time + LEASE,
            registered_at=BEGIN + worker,
            serves=("a", "b"),
        )
        self.both(lambda store: store.register(row))

    def submit_runs(self, runs: list[NewRun]) -> None:
        self.submitted += runs
        self.both(lambda store: store.submit(runs))

    @rule(data=st.data(), count=st.integers(1, 3), worker=st.none() | workers)
    def submit(self, data: st.DataObject, count: int, worker: int | None) -> None:
        self.submit_runs([self.draw_run(data, worker=worker) for _ in range(count)])

    @rule(choice=choices, input=st.none() | values, other_tid=st.booleans())
    def submit_again(self, choice: int, input: str | None, other_tid: bool) -> None:
        """The same, or with another input, or under another TID."""
        new = self.submitted[choice % len(self.submitted)]
        if input is not None:
            new = replace(new, input=input)
        if other_tid:
            new = replace(new, tid=self.new_tid())
        self.both(lambda store: store.submit([new]))

    @rule(
        worker=workers,
        names=st.lists(names, max_size=3),
        namespace=namespaces,
        queues=st.lists(queues, max_size=2),
        limit=st.integers(1, 4),
        alone=st.booleans(),
    )
    def claim(
        self,
        worker: int,
        names: list[tuple[str, str]],
        namespace: str,
        queues: list[str],
        limit: int,
        alone: bool,
    ) -> None:
        what = Claim(
            worker=worker,
            names=names,
            limit=limit,
            namespace=namespace,
            queues=queues,
            alone=alone,
        )
        self.both(lambda store: store.due(what))
        self.both(lambda store: store.claim(what, self.time))
        self.both(lambda store: store.due(what))

    def claim_all(self, worker: int) -> None:
        """Claims that take whatever there is."""
        if worker not in [row.id for row in self.stores[0].workers()]:
            self.register(worker)
        what = Claim(worker=worker, names=NAMES, limit=3)
        self.both(lambda store: store.claim(what, self.time))
        self.both(lambda store: store.claim(replace(what, alone=True), self.time))

    @rule(data=st.data(), count=st.integers(1, 3), worker=workers)
    def turn(self, data: st.DataObject, count: int, worker: int) -> None:
        """A batch of turns of different runs by who holds them."""
        if not self.held():
            self.claim_all(worker)
        if held := self.held():
            runs = data.draw(
                st.lists(st.sampled_from(held), min_size=1, max_size=count, unique_by=_tid)
            )
            turns = [self.draw_turn(data, run) for run in runs]
            self.send(turns, self.draw_births(data))

    @rule(data=st.data(), worker=workers)
    def step(self, data: st.DataObject, worker: int) -> None:
        """A turn that only appends, or goes to sleep: what most turns do."""
        if not self.held():
            self.claim_all(worker)
        if held := self.held():
            run = data.draw(st.sampled_from(held))
            then = data.draw(st.none() | st.builds(Suspend, st.just(self.time)))
            self.send([_changed(self.draw_turn(data, run), then=then)], [])

    @rule(data=st.data(), choice=choices, behind=st.integers(0, 1))
    def late_turn(self, data: st.DataObject, choice: int, behind: int) -> None:
        """A turn of whoever, of whatever run."""
        run = self.pick(choice)
        if run is not None:
            turn = self.draw_turn(data, run)
            self.send([_changed(turn, attempt=turn.attempt - behind)], [])

    @precondition(lambda self: self.turns)
    @rule(choice=choices)
    def turn_again(self, choice: int) -> None:
        """A turn whose answer was lost, sooner or later."""
        turn = self.turns[-1 - choice % min(len(self.turns), 6)]
        again = _changed(turn, repeated=True)
        self.both(lambda store: store.turn([_consuming(store, again)], [], self.time))

    @rule(
        choice=choices,
        kind=st.sampled_from([EventKind.CANCEL_REQUESTED, EventKind.CHILD_COMPLETED]),
        dedup_key=st.sampled_from(["cancel", "x", "y"]),
        value=optional_values,
    )
    def deliver(self, choice: int, kind: EventKind, dedup_key: str, value: str | None) -> None:
        run = self.pick(choice)
        mail = NewMail(tid=run.tid if run else 10**9, dedup_key=dedup_key, kind=kind, value=value)
        self.both(lambda store: store.deliver(mail, self.time))

    @rule(
        names=st.lists(names, max_size=1),
        namespace=namespaces,
        reason=values,
        blocked=st.booleans(),
        importable=st.booleans(),
        choice=choices,
    )
    def block(
        self,
        names: list[tuple[str, str]],
        namespace: str,
        reason: str,
        blocked: bool,
        importable: bool,
        choice: int,
    ) -> None:
        """A worker finds due runs that it does not know, and blocks one kind of them."""
        what = Claim(
            worker=101, names=names, limit=1, namespace=namespace, queues=["default", "slow"]
        )
        found = self.both(
            lambda store: _sorted_without_tids(
                store.unclaimed(what, self.time, blocked=blocked, importable=importable)
            )
        )
        if found:
            one = found[choice % len(found)]
            self.both(lambda store: store.block(one, namespace, reason, self.time))

    @rule(names=st.lists(names, max_size=3), namespace=namespaces, code=codes)
    def unpark(self, names: list[tuple[str, str]], namespace: str, code: str) -> None:
        self.both(lambda store: store.unpark(names, namespace, code, self.time))

    @rule(choice=choices, is_stuck=st.booleans())
    def retry(self, choice: int, is_stuck: bool) -> None:
        """A person tries a run again: a stuck one if there is any, or whichever."""
        stuck = [run for run in self.known() if run.status is Status.STUCK]
        run = stuck[choice % len(stuck)] if is_stuck and stuck else self.pick(choice)
        self.both(lambda store: store.retry(run.tid if run else 10**9, self.time))

    @rule(
        worker=workers,
        fate=st.sampled_from(["register", "renew", "bury", "bury", "prove", "retire", "rest"]),
    )
    def live_and_die(self, worker: int, fate: str) -> None:
        """Leases come and go."""
        until = self.time + LEASE
        match fate:
            case "register":
                self.register(worker)
            case "renew":
                self.both(lambda store: store.renew(worker, until))
            case "bury" | "prove":
                self.both(lambda store: store.bury(worker, self.time, proven=fate == "prove"))
            case _:
                self.both(lambda store: store.retire(worker, if_idle=fate == "rest"))

    @rule(worker=workers)
    def crash(self, worker: int) -> None:
        """A worker takes all it can and dies."""
        self.claim_all(worker)
        self.both(lambda store: store.bury(worker, self.time, proven=True))

    @rule(worker=workers, choice=choices, value=values)
    def progress(self, worker: int, choice: int, value: str) -> None:
        run = self.pick(choice)
        if run is not None:
            self.both(lambda store: store.progress(worker, {run.tid: value}))

    @rule(passed=st.integers(0, 40))
    def time_passes(self, passed: int) -> None:
        self.time += passed

    # --- what turns are made of ------------------------------------------------------------------

    def send(self, turns: list[Turn], births: list[NewRun]) -> None:
        self.turns += turns
        self.both(
            lambda store: store.turn([_consuming(store, t) for t in turns], births, self.time)
        )

    def draw_births(self, data: st.DataObject) -> list[NewRun]:
        if data.draw(st.integers(0, 4)):
            return []
        registered = [row.id for row in self.stores[0].workers()]
        worker = data.draw(st.sampled_from([*registered, *registered, 103]))
        return [self.draw_run(data, worker=worker)]

    def draw_run(self, data: st.DataObject, **fields: Any) -> NewRun:
        name, version = data.draw(names)
        return NewRun(
            tid=self.new_tid(),
            kind=Kind.WORKFLOW,
            name=name,
            version=version,
            input=data.draw(values),
            at=self.time + data.draw(st.sampled_from([0, 0, 0, 10])),
            namespace=data.draw(namespaces),
            queue=data.draw(queues),
            key=data.draw(keys),
            source=f"module_{name}" if version else "",
            **fields,
        )

    def draw_turn(self, data: st.DataObject, run: Run) -> Turn:
        """A turn as the holder of a run would send it; `consumed` counts letters until sent."""
        begin = len(self.stores[0].journal(run.tid))
        rows = [
            Row(
                begin + n,
                self.time,
                run.attempt,
                Event(
                    kind=data.draw(st.sampled_from(list(EventKind))),
                    ordinal=data.draw(st.none() | st.integers(0, 3)),
                    value=data.draw(optional_values),
                ),
                data.draw(st.sampled_from(["", "[]", LONG])),
            )
            for n in range(data.draw(st.integers(0, 2)))
        ]
        ordinals = [ordinal for ordinal, _ in self.stores[0].children(run.tid)]
        children = [
            replace(self.draw_run(data, parent=run.tid, parent_ordinal=len(ordinals) + n), key=None)
            for n in range(data.draw(st.sampled_from([0, 0, 1, 2])))
        ]
        return Turn(
            tid=run.tid,
            attempt=run.attempt,
            rows=rows,
            then=data.draw(_nexts(self.time)),
            consumed=[data.draw(st.integers(0, 2))],
            children=children,
            cancel_children=data.draw(st.lists(st.sampled_from([*ordinals, 9]), max_size=2)),
            progress=data.draw(st.booleans()),
        )

    # --- what must be the same ---------------------------------------------------------------------

    @invariant()
    def both_look_the_same(self) -> None:
        """Runs, journals, inboxes, mail, workers."""
        runs = self.known()
        where = RunFilter(namespace=None, limit=10_000)
        self.both(lambda store: [_without_payloads(run) for run in store.runs(where)])
        self.both(lambda store: store.workers())
        self.both(lambda store: [_look_at(store, run.tid) for run in runs])
        self.both(lambda store: [(store.held(id), store.mail(id)) for id in (101, 102, 103)])

    @invariant()
    def every_run_keeps_its_rules(self) -> None:
        """The rules of `core.run`, whatever happened."""
        registered = {worker.id for worker in self.stores[1].workers()}
        for run in self.stores[1].runs(RunFilter(namespace=None, limit=10_000)):
            is_running = run.status is Status.RUNNING
            assert (run.worker is not None) == is_running
            assert run.worker is None or run.worker in registered
            assert (run.finished_at is not None) == run.status.is_final
            if run.status in (Status.QUEUED, Status.BLOCKED):
                assert run.wake_at is not None
            elif run.status is not Status.WAITING:
                assert run.wake_at is None
            if run.status.is_final:
                assert self.stores[1].inbox(run.tid) == []
            seqs = [row.seq for row in self.stores[1].journal(run.tid)]
            assert seqs == list(range(len(seqs)))


def _nexts(now: int) -> st.SearchStrategy[Next | None]:
    return st.one_of(
        st.none(),
        st.none(),
        st.builds(Suspend, st.none() | st.sampled_from([now, now + 10]), st.none() | values),
        st.builds(
            Finish,
            st.sampled_from([Status.COMPLETED, Status.FAILED, Status.CANCELLED]),
            optional_values,
            optional_values,
        ),
        st.builds(Park, values, codes),
        st.just(HandBack()),
    )


def _answer(verb: Callable[[Store], T], store: Store) -> tuple[type[PerdureError] | None, Any]:
    """What a store answers: (None, the answer), or the class and the data of the error."""
    try:
        return None, verb(store)
    except PerdureError as error:
        return type(error), getattr(error, "tid", None)


def _consuming(store: Store, turn: Turn) -> Turn:
    """The same letters have other ids in another store: `consumed` says how many, until now."""
    count = turn.consumed[0] if turn.consumed else 0
    return _changed(turn, consumed=[letter.id for letter in store.inbox(turn.tid)[:count]])


def _changed(turn: Turn, **fields: Any) -> Turn:
    from msgspec.structs import replace as replaced

    return replaced(turn, **fields)


def _look_at(store: Store, tid: int) -> object:
    return (
        store.get(tid),
        store.journal(tid),
        [_without_id(letter) for letter in store.inbox(tid)],
        store.children(tid),
        store.match(str(tid)),
    )


def _without_id(letter: Mail) -> Mail:
    return replace(letter, id=0)


def _without_payloads(run: Run) -> Run:
    return replace(run, input="", output=None, error=None)


def _sorted_without_tids(found: list[Unclaimed]) -> list[Unclaimed]:
    """Which run stands for its kind is the backend's choice."""
    return sorted((replace(each, tid=0) for each in found), key=repr)


def _tid(run: Run) -> int:
    return run.tid
