"""Any sequence of changes, and of watchers that come, leave and resume: at rest every view equals its table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from twofold import operate
from twofold.app import App, Running
from twofold.errors import InvalidInput
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.bank import CURSED, accounts, balances, deposited, sums
from twofold.testing.conformance.watch import Curable, View, agrees, days

T = TypeVar("T")

IDS = st.sampled_from(["a", "b", "c"])
AMOUNTS = st.lists(st.sampled_from([1, 1, 5, 5, 20, 50, 50, 99, 99, 99, CURSED]), min_size=1, max_size=2)
ASKED: list[dict[str, Any]] = [
    {},
    {"total__ge": 10},
    {"id": "a"},
    {"id__ne": "b", "total__lt": 60},
    {"deposits__in": [1, 3]},
]
KINDS = st.sampled_from([0, 0, 0, 1, 2])
VIEWS = st.integers(0, 3)


class ViewConformance(OnBackend):
    """See `Views`."""

    @pytest.mark.slow
    def test_any_watcher_sees_what_the_table_holds(self, new_backend: Callable[[], Backend]) -> None:
        """Deposits, deletions, parked rows, retries, rebuilt rows, in random sequences."""
        machine = type("ViewsOfThisBackend", (Views,), {"new_backend": staticmethod(new_backend)})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=20,
                stateful_step_count=40,
                deadline=None,
                phases=[Phase.generate],  # to shrink takes a minute for each step that hangs
                suppress_health_check=list(HealthCheck),
            ),
        )


class Views(RuleBasedStateMachine):
    """An App in two processes, and clients that apply what they get."""

    new_backend: Callable[[], Backend]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.curable = Curable()
        balance = replace(balances, evolve=self.curable.balance)
        self.app = App("bank", deciders=[accounts], projections=[balance, sums, days])
        self.views: dict[int, tuple[View, Any, dict[str, Any]]] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.run(self._open())

    async def _open(self) -> None:
        backend = self.new_backend()
        self.opened: list[Any] = [await backend.open_log(), await backend.open_rows()]
        self.opened += [await backend.open_log(), await backend.open_rows()]
        log, rows, other_log, other_rows = self.opened
        self.apps = [
            self.app.open(log, read_store=rows),
            self.app.open(other_log, read_store=other_rows, work=False),
        ]
        self.processes: list[Running] = [await app.__aenter__() for app in self.apps]

    def run(self, work: Awaitable[T]) -> T:
        """Wait for some work."""

        async def bounded() -> T:
            async with asyncio.timeout(60):
                return await work

        return self.runner.run(bounded())

    @rule(deposits=st.lists(st.tuples(IDS, AMOUNTS), min_size=1, max_size=4), rests=st.booleans())
    def deposit(self, deposits: list[tuple[str, list[int]]], rests: bool) -> None:
        """Some of these park a row or delete it."""
        for id_, amounts in deposits:
            self.run(deposited(self.processes[0].log, id_, *amounts))
            if rests:
                self.rest()

    @rule(number=VIEWS, process=st.integers(0, 1), kind=KINDS, asked=st.integers(0, len(ASKED) - 1))
    def begin(self, number: int, process: int, kind: int, asked: int) -> None:
        """A new watcher."""
        self.leave(number)
        conditions = ASKED[asked] if kind == 0 else {}
        self.views[number] = View(), self.app.projections[kind], conditions
        self._follow(number, process)

    @rule(number=VIEWS, process=st.integers(0, 1))
    def resume(self, number: int, process: int) -> None:
        """In any process, with the newest token if it has one."""
        if number in self.views and number not in self.tasks:
            self._follow(number, process)

    def _follow(self, number: int, process: int) -> None:
        view, projection, asked = self.views[number]

        async def start() -> asyncio.Task[None]:
            after = {} if view.token is None else {"after": view.token}
            return asyncio.create_task(view.follow(self.processes[process], projection, **asked, **after))

        self.tasks[number] = self.run(start())

    @rule(number=VIEWS)
    def leave(self, number: int) -> None:
        """It keeps its view."""
        if (task := self.tasks.pop(number, None)) is not None:
            task.cancel()
            self.run(asyncio.wait([task]))

    @rule(id_=IDS, how=st.sampled_from(["mend", "retry", "discard", "fold again"]))
    def repair(self, id_: str, how: str) -> None:
        """Rows change without an event. Every watcher begins again, so this is rare."""
        process, balance = self.processes[0], self.app.projections[0]
        self.curable.mended = how == "mend"
        with suppress(InvalidInput):  # nothing of it is parked
            if how == "discard":
                self.run(process.parking.discard("balance", id_))
            elif how == "fold again":
                self.run(operate.rebuild_row(process, balance, id_))
            else:
                self.run(process.parking.retry("balance", id_))
        self.curable.mended = False

    @rule()
    def rest(self) -> None:
        """Every view that is followed equals its table."""
        for number in self.tasks:
            view, projection, asked = self.views[number]
            self.run(agrees(view, self.processes[1], projection, **asked))

    @invariant()
    def none_has_ended(self) -> None:
        """No watcher ends by itself."""
        for number, task in self.tasks.items():
            assert not task.done(), self.views[number][0].ended

    def teardown(self) -> None:
        """Check once more, and close everything."""
        try:
            self.rest()
        finally:
            for number in list(self.tasks):
                self.leave(number)
            for app in reversed(self.apps):
                self.run(app.__aexit__(None, None, None))
            for store in self.opened:
                self.run(store.close())
            self.runner.close()
