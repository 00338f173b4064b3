import pytest

from shop.write.stock import (
    AdjustStock,
    Event,
    Fulfil,
    InventoryUpdated,
    ReceiveStock,
    Release,
    ReservationFulfilled,
    ReservationRefused,
    Reserve,
    Stock,
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    stock,
)
from twofold import Rejected

FIVE: list[Event] = [StockReceived(5), InventoryUpdated(5)]
FIVE_OF_WHICH_TWO_RESERVED: list[Event] = [*FIVE, StockReserved("o1", 1, 2), InventoryUpdated(3)]


def test_every_change_is_announced_with_the_new_quantity() -> None:
    assert stock.decide(ReceiveStock(3), stock.state(FIVE)) == [StockReceived(3), InventoryUpdated(8)]
    assert stock.decide(Reserve("o1", 1, 5), stock.state(FIVE)) == [StockReserved("o1", 1, 5), InventoryUpdated(0)]
    reserved = stock.state(FIVE_OF_WHICH_TWO_RESERVED)
    assert stock.decide(Release("o1", 1), reserved) == [StockReleased("o1", 1, 2), InventoryUpdated(5)]


def test_more_than_there_is_is_refused_and_says_how_much_there_is() -> None:
    assert stock.decide(Reserve("o2", 1, 4), stock.state(FIVE_OF_WHICH_TWO_RESERVED)) == [
        ReservationRefused("o2", 1, 4, available=3)
    ]
    assert stock.decide(Reserve("o2", 1, 1), stock.initial) == [ReservationRefused("o2", 1, 1, available=0)]


def test_a_line_is_reserved_once() -> None:
    reserved = stock.state(FIVE_OF_WHICH_TWO_RESERVED)
    assert stock.decide(Reserve("o1", 1, 2), reserved) == []
    assert stock.decide(Reserve("o1", 2, 2), reserved) == [StockReserved("o1", 2, 2), InventoryUpdated(1)]


def test_what_is_not_reserved_is_neither_released_nor_fulfilled() -> None:
    assert stock.decide(Release("o1", 1), stock.state(FIVE)) == []
    assert stock.decide(Fulfil("o1", 1), stock.state(FIVE)) == []


def test_shipping_forgets_the_reservation_and_leaves_the_available_quantity() -> None:
    reserved = stock.state(FIVE_OF_WHICH_TWO_RESERVED)
    assert stock.decide(Fulfil("o1", 1), reserved) == [ReservationFulfilled("o1", 1, 2)]
    assert stock.evolve(reserved, ReservationFulfilled("o1", 1, 2)) == Stock(available=3)


@pytest.mark.parametrize("quantity", [0, -1, 1_000_000_001])
def test_a_quantity_is_at_least_one_and_has_an_end(quantity: int) -> None:
    for command in (ReceiveStock(quantity), Reserve("o1", 1, quantity)):
        with pytest.raises(Rejected):
            stock.decide(command, stock.state(FIVE))


@pytest.mark.parametrize(("quantity", "left"), [(-5, 0), (-3, 2), (1, 6)])
def test_an_adjustment_takes_away_or_adds(quantity: int, left: int) -> None:
    assert stock.decide(AdjustStock(quantity, "counted"), stock.state(FIVE)) == [
        StockAdjusted(quantity, "counted"),
        InventoryUpdated(left),
    ]
    assert stock.evolve(stock.state(FIVE), StockAdjusted(quantity, "counted")) == Stock(available=left)


def test_an_adjustment_takes_no_more_than_is_available_and_nothing_that_is_reserved() -> None:
    reserved = stock.state(FIVE_OF_WHICH_TWO_RESERVED)
    with pytest.raises(Rejected, match="Cannot adjust the stock by -4: only 3 are available"):
        stock.decide(AdjustStock(-4, "broken"), reserved)
    emptied = stock.state([*FIVE_OF_WHICH_TWO_RESERVED, *stock.decide(AdjustStock(-3, "broken"), reserved)])
    assert emptied == Stock(available=0, reserved={("o1", 1): 2})


@pytest.mark.parametrize(
    ("quantity", "reason"), [(0, "counted"), (1_000_000_001, "found"), (-1_000_000_001, "lost"), (1, ""), (1, " ")]
)
def test_an_adjustment_has_a_quantity_and_a_reason(quantity: int, reason: str) -> None:
    with pytest.raises(Rejected):
        stock.decide(AdjustStock(quantity, reason), stock.state(FIVE))
