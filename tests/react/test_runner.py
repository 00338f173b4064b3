"""A reactor's runner where its partition may split."""

from typing import Any

import pytest

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog
from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Parked
from twofold.messages import BEGINNING, Position
from twofold.react.runner import Runner
from twofold.testing.conformance.bank import bank, deposited, forwarding
from twofold.testing.conformance.checkpoints import claimed


async def test_g7_who_held_a_partition_that_has_split_reacts_to_nothing_more() -> None:
    """What is parked has gone to the parts with their checkpoints: here its stream would seem to be in order."""
    log, asked = MemoryLog(Ambient()), list[Any]()

    async def carry_out(*command: Any) -> None:
        asked.append(command)

    await deposited(log, "a", 1, 2, to="b")
    checkpoints, follower = log.checkpoints, forwarding.follows
    await checkpoints.register(follower, log.log_id, BEGINNING)
    zombie = await claimed(checkpoints, follower)
    bad = Parked("stream", "account-a", Position(0, 1), "Error", Ambient().now())
    await checkpoints.advance(zombie, BEGINNING, Position(0, 1), [bad])
    runner = Runner(forwarding, log, checkpoints, carry_out, bank.codec, Ambient(), may_split=True)

    seen = await checkpoints.read(follower)
    assert seen is not None
    other = await checkpoints.claim(seen, "other")
    assert other is not None
    await checkpoints.split(other, Position(0, 1), {1: await checkpoints.parked(follower), 2: []})

    with pytest.raises(LeaseLost, match="no longer in epoch"):
        await runner.handle(zombie, Position(0, 1), await log.read(Position(0, 1), 10))
    assert asked == []
