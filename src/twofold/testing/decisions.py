"""Given, when, then: `given(orders, OrderPlaced(…)).when(ShipOrder("dhl")).then(OrderShipped("dhl"))`."""

from __future__ import annotations

import re
from typing import Any

from twofold.errors import Rejected
from twofold.write.decider import Decider


def given(decider: Decider[Any, Any, Any], *events: object) -> Given:
    """A stream of this decider to which these events have happened; none: a new one."""
    return Given(decider, decider.state(events))


class Given:
    """A decider at a state."""

    def __init__(self, decider: Decider[Any, Any, Any], state: Any) -> None:
        self.decider, self.state = decider, state

    def when(self, command: object) -> Decision:
        """What is decided, whatever becomes of it."""
        try:
            return Decision(command, self.decider.decide(command, self.state))
        except Exception as error:  # it is the test that says what was to be raised
            return Decision(command, error)


class Decision:
    """The answer to a command: events, or what was raised."""

    def __init__(self, command: object, outcome: Any) -> None:
        self.command, self.outcome = command, outcome

    def then(self, *events: object) -> None:
        """Exactly these events happen, in this order; none: nothing happens."""
        if isinstance(self.outcome, Exception):
            raise AssertionError(f"{self.command!r} raised {self.outcome!r}") from self.outcome
        if tuple(self.outcome) != events:
            raise AssertionError(f"{self.command!r} gave {self.outcome!r}, not {list(events)!r}")

    def raises(self, error: type[Exception] = Rejected, match: str = "") -> None:
        """It is refused with this error, in whose text `match`, a regular expression, is found."""
        if not isinstance(self.outcome, error):
            raise AssertionError(f"{self.command!r} gave {self.outcome!r}, not {error.__name__}")
        if not re.search(match, str(self.outcome)):
            raise AssertionError(f"{match!r} is not found in {str(self.outcome)!r}")
