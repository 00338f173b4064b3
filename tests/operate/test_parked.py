"""An operator retries and discards what is parked: only after the store has been checked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from twofold import operate
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import ConfigurationError
from twofold.messages import Recorded
from twofold.read.projection import Projection
from twofold.testing.conformance.bank import Deposited, balances, deposited
from twofold.testing.conformance.rebuild import only


@dataclass(frozen=True)
class Shifted:
    """The columns that version 1 of the balances has got in newer code."""

    id: str
    shifted: int = 0


def shift(row: Shifted, event: Deposited, recorded: Recorded) -> Shifted:
    return row


other = replace(only, projections=[Projection("balance", Shifted, shift)])


@pytest.mark.parametrize("unpark", [operate.retry, operate.discard])
async def test_nothing_is_unparked_for_an_app_whose_rows_have_other_columns(
    unpark: Callable[..., Awaitable[Any]],
) -> None:
    log, rows = MemoryLog(), MemoryReadStore()
    async with only.open(log, read_store=rows) as running:
        await running.get(balances, "a", after=await deposited(log, "a", 1))
    async with other.look(log, read_store=rows) as looking:
        with pytest.raises(ConfigurationError, match="has other columns than its row class"):
            await unpark(looking, "balance")
