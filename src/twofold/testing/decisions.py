"""Given, when, then: `given(orders, OrderPlaced(…)).when(ShipOrder("dhl")).then(OrderShipped("dhl"))`."""

from __future__ import annotations

import re
from typing import Any

from twofold.errors import Rejected
from twofold.failures import error_text, failure, shown
from twofold.kept import Kept
from twofold.testing.differences import of_events
from twofold.write.decider import Decider


def given(decider: Decider[Any, Any, Any], *events: object) -> Given:
    """A stream of this decider to which these events have happened; none: a new one."""
    return Given(decider, Kept(decider.state(events)))


class Given:
    """A decider at a state."""

    def __init__(self, decider: Decider[Any, Any, Any], state: Kept[Any]) -> None:
        self.decider, self._state = decider, state

    @property
    def state(self) -> Any:
        """The state after the events."""
        return self._state.own()

    def when(self, command: object) -> Decision:
        """What is decided, as `execute` would have it, whatever becomes of it."""
        try:
            return Decision(command, self.decider.decided(command, self.state))
        except BaseException as error:  # it is the test that says what was to be raised
            return Decision(command, failure(error))


class Decision:
    """The outcome of a command: events, or what was raised."""

    def __init__(self, command: object, outcome: Any) -> None:
        self.command, self.outcome = command, outcome

    def then(self, *events: object) -> None:
        """Exactly these events happen, in this order; none: nothing happens."""
        if isinstance(self.outcome, BaseException):
            raise AssertionError(f"{self._asked} raised {error_text(self.outcome)}") from self.outcome
        if tuple(self.outcome) != events:
            lines = "\n  ".join(of_events(self.outcome, events))
            raise AssertionError(f"{self._asked} was decided otherwise:\n  {lines}")

    def raises(self, error: type[BaseException] = Rejected, match: str = "") -> None:
        """It is refused with this error, in whose text `match`, a regular expression, is found."""
        if isinstance(self.outcome, BaseException) and not isinstance(self.outcome, error):
            raise AssertionError(f"{self._asked} raised {error_text(self.outcome)}, not {error.__name__}")
        if not isinstance(self.outcome, error):
            raise AssertionError(f"{self._asked} gave {shown(self.outcome, 2_000)}, not {error.__name__}")
        if not re.search(match, str(self.outcome)):
            raise AssertionError(f"{match!r} is not found in {str(self.outcome)!r}")

    @property
    def _asked(self) -> str:
        return shown(self.command, 500)
