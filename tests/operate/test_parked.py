"""An operator retries and discards what is parked: only after the store has been checked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from twofold import operate
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import ConfigurationError, InvalidInput
from twofold.messages import Recorded
from twofold.read.projection import Projection
from twofold.testing.conformance.bank import KEYLESS, Deposited, balances, bank, deposited
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


async def test_a_key_is_looked_for_in_all_followers_if_none_is_named() -> None:
    async with bank.open(MemoryLog(), read_store=MemoryReadStore()) as running:
        await deposited(running.log, "b", KEYLESS)
        await running.settled(timeout_s=20)
        [one] = await operate.parked(running, key="account-b")
        assert (one.follower.name, one.parked.kind) == ("sum", "stream")
        assert list(await operate.parked(running)) == [one]
        for name, of in ((None, "nothing"), ("balance", "nothing of balance")):
            with pytest.raises(InvalidInput, match=f"{of} is parked under 'account-b'" if name else f"{of} is parked"):
                await operate.parked(running, name, "account-b" if name else "account-c")
