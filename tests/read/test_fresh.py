"""A fresh fold that has to begin again while what is parked changes."""

from itertools import count

from twofold import Projection, Recorded
from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.feed.checkpoints import Parked
from twofold.progress import no_progress
from twofold.read.proof.fresh import FreshFold
from twofold.testing.conformance.bank import Balance, Deposited, bank, deposited
from twofold.testing.conformance.material import at


async def test_g9_evidence_is_given_once_for_each_event_however_often_it_is_folded() -> None:
    clock, log = count(), MemoryLog()

    def fold(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
        return Balance(row.id, next(clock), row.deposits + 1)

    for name in "ab":
        await deposited(log, name, 1)
    impure, rows = Projection("balance", Balance, fold), MemoryReadStore()
    fresh = FreshFold(impure, bank.codec, None, log, rows, progress=no_progress)
    for parked in ([Parked("row", '["b"]', at(2), "no", Ambient().now())], [], []):
        await fresh.advance([at(2)], parked)
        named = [fault.event for fault in fresh.faults]
        assert named == (["account-a@1"] if parked else ["account-a@1", "account-b@1"])
