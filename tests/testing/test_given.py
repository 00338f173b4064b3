"""Starting from a given history: it reaches rules deep in a process, and impossible histories are refused."""

from typing import Any

import pytest

from simulated.directory import Profile, cards, directory, rename_somebody
from simulated.warehouse import (
    Order,
    Place,
    Placed,
    Received,
    Settle,
    order_something,
    orders,
    shelves,
    stock,
    warehouse,
)
from twofold import App, ConfigurationError, Decider, To
from twofold.testing.simulation import SimulationFailed, simulate

DEEP = 500


def test_rules_that_no_short_history_reaches_are_reached() -> None:
    always: dict[Any, Any] = {stock: lambda stock: stock.available < DEEP + 3}
    assert simulate(warehouse, order_something, seed=1, runs=20, always=always).runs == 20
    with pytest.raises(SimulationFailed, match="always: stock-p1 at version") as failed:
        simulate(warehouse, order_something, seed=1, runs=20, always=always, given={"stock-p1": [Received(DEEP)]})
    assert failed.value.steps[0] <= 2


def test_in_pairs_the_order_between_streams_is_that_of_the_list() -> None:
    """Clients know it, readers read it, rows contain it; the same seed gives the same history again."""
    given = [("stock-p1", Received(5)), ("order-o1", Placed("p1", 2)), ("stock-p1", Received(5))]
    first, second = (
        simulate(warehouse, order_something, seed=7, runs=8, given=given, always={shelves: lambda shelf: True})
        for _ in range(2)
    )
    assert first.counts == second.counts
    assert first.counts["events"] > simulate(warehouse, order_something, seed=7, runs=8).counts["events"]


def test_documents_begin_with_a_state() -> None:
    given = {"profile-a": [Profile("Ada", 40), Profile("Bob", 41)]}
    with pytest.raises(SimulationFailed, match="always"):
        simulate(directory, rename_somebody, seed=1, given=given, always={cards: lambda card: card.changes < 42})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"stock": [Received(1)]}, "given: 'stock': "),
        ({"shelf-p1": [Received(1)]}, "given: warehouse has no decider for 'shelf-p1'; it has stock, order"),
        ({"stock-p1": [Placed("p1", 1)]}, r"given: streams of decider 'stock' hold .*, and stock-p1 has Placed\("),
        ({"stock-p1": Received(1)}, r"given: 'stock-p1' has no list of events, but Received\(quantity=1\)"),
        ({"stock-p1": [Order()]}, "given: 'stock-p1': "),
        ([("stock-p1", [Received(1)])], "given: 'stock-p1': "),
        ([Received(1)], r"a list of \(stream, event\), not Received\(quantity=1\)"),
        (Received(1), r"a list of \(stream, event\), not Received\(quantity=1\)"),
        ({"stock-p1": [Received("many")]}, "given: 'stock-p1': .*quantity"),
    ],
)
def test_what_cannot_have_happened_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        simulate(warehouse, [To(orders, "o1", Place("p1", 1)), To(orders, "o1", Settle(True))], given=given, runs=1)


def test_what_evolve_cannot_fold_is_refused() -> None:
    def decide(command: Place, state: int) -> list[Received]:
        return [Received(1)]

    def evolve(state: int, event: Received) -> int:
        raise ArithmeticError("never")

    app = App("broken", deciders=[Decider("stock", 0, decide, evolve)])
    with pytest.raises(ConfigurationError, match="given: stock-p1 cannot be folded: ArithmeticError: never"):
        simulate(app, [], given={"stock-p1": [Received(1)]}, runs=1)
