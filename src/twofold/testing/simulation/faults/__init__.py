"""What can go wrong. Each fault is a value that knows how it is drawn and what it does; the plan says when.

A new fault is a class in `processes.py` or `stores.py`, with an entry in `FAULTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from twofold.testing.simulation.actions import Action, Dice
from twofold.testing.simulation.faults.processes import Crash, Jump, Pause, Restart, StealLease, StopWhileClaiming
from twofold.testing.simulation.faults.stores import Deaf, GoAway, Lose, Slow
from twofold.testing.simulation.operators import Rebuild


class Fault(NamedTuple):
    """How a fault is drawn, and its weight relative to the others."""

    weight: int
    drawn: Callable[[Dice], Action]


def _rebuild_or_crash(dice: Dice) -> Action:
    return Rebuild.drawn(dice) if dice.app.folded else Crash.drawn(dice)


FAULTS: Mapping[str, Fault] = {
    "crash": Fault(3, Crash.drawn),
    "pause": Fault(2, Pause.drawn),
    "restart": Fault(1, Restart.drawn),
    "stop while claiming": Fault(1, StopWhileClaiming.drawn),
    "upgrade": Fault(1, Restart.upgrading),
    "steal": Fault(1, StealLease.drawn),
    "slow": Fault(1, Slow.drawn),
    "deaf": Fault(1, Deaf.drawn),
    "away": Fault(1, GoAway.drawn),
    "crash store": Fault(2, GoAway.crashing),
    "lose": Fault(2, Lose.drawn),
    "lose page": Fault(1, Lose.answer_to_page),
    "jump": Fault(1, Jump.drawn),
    "rebuild": Fault(1, _rebuild_or_crash),
}
