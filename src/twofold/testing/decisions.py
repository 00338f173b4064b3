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
    """A stream of this decider with these events; without any, a new stream."""
    return Given(decider, Kept(decider.state(events)))


class Given:
    """A decider and the state it decides from."""

    def __init__(self, decider: Decider[Any, Any, Any], state: Kept[Any]) -> None:
        self.decider, self._state = decider, state

    @property
    def state(self) -> Any:
        """The state after the events."""
        return self._state.own()

    def when(self, command: object) -> Decision:
        """Decide the command as `execute` would; an exception becomes the outcome."""
        try:
            return Decision(command, self.decider.decided(command, self.state))
        except BaseException as error:  # the test checks what was raised
            return Decision(command, failure(error))


class Decision:
    """The outcome of a command: events, or what was raised."""

    def __init__(self, command: object, outcome: Any) -> None:
        self.command, self.outcome = command, outcome

    def then(self, *events: object) -> None:
        """Assert that the command led to exactly these events, in this order; without any, to none."""
        if isinstance(self.outcome, BaseException):
            raise AssertionError(f"{self._asked} raised {error_text(self.outcome)}") from self.outcome
        if tuple(self.outcome) != events:
            lines = "\n  ".join(of_events(self.outcome, events))
            raise AssertionError(f"{self._asked} led to other events:\n  {lines}")

    def raises(self, error: type[BaseException] = Rejected, match: str = "") -> None:
        """Assert that the command raised this error, and that its text matches the regular expression `match`."""
        if isinstance(self.outcome, BaseException) and not isinstance(self.outcome, error):
            raise AssertionError(f"{self._asked} raised {error_text(self.outcome)}, not {error.__name__}")
        if not isinstance(self.outcome, error):
            raise AssertionError(f"{self._asked} gave {shown(self.outcome, 2_000)}, not {error.__name__}")
        if not re.search(match, str(self.outcome)):
            raise AssertionError(f"{match!r} is not found in {str(self.outcome)!r}")

    @property
    def _asked(self) -> str:
        return shown(self.command, 500)
