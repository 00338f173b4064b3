from decimal import Decimal
from typing import Any

import pytest

from shop.tests.world import START, item
from shop.values import Item
from shop.write.past import (
    BadDebtRecorded,
    RecordBadDebt,
    RecordReturn,
    RecordStockAdjustment,
    ReturnRecorded,
    StockAdjustmentRecorded,
    bad_debts,
    returns,
    stock_adjustments,
)
from twofold import Rejected

KINDS = [
    (returns, RecordReturn, ReturnRecorded),
    (stock_adjustments, RecordStockAdjustment, StockAdjustmentRecorded),
    (bad_debts, RecordBadDebt, BadDebtRecorded),
]


@pytest.mark.parametrize(("decider", "command", "event"), KINDS)
def test_an_invoice_is_recorded_whole_and_once(decider: Any, command: Any, event: Any) -> None:
    facts = ("17850", "Customer 17850", "France", START, (item("tea", -2, "1.25"), item("cup", 1, "-11062.06")))
    expected = event(*facts, Decimal("-11064.56"))
    assert decider.decide(command(*facts), decider.initial) == [expected]
    with pytest.raises(Rejected, match="already recorded"):
        decider.decide(command(*facts), decider.state([expected]))


@pytest.mark.parametrize("items", [(), (item(price="NaN"),), (item(quantity=10**10),)])
def test_an_invoice_needs_lines_with_numbers(items: tuple[Item, ...]) -> None:
    with pytest.raises(Rejected):
        returns.decide(RecordReturn(None, None, "France", START, items), returns.initial)
