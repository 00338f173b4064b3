"""What is simulated: an App, its clients' commands, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twofold.app import App
from twofold.backends.memory import Refuses
from twofold.messages import Append
from twofold.react.reactor import To
from twofold.testing.simulation.effects import Observed

Commands = Callable[[Random], To]
Appends = Callable[[Random], tuple[str, tuple[Sequence[Any], Sequence[Any]]]]


@dataclass
class Cure:
    """Whether corrected code is deployed."""

    deployed: bool = False


@dataclass(frozen=True)
class Scenario:
    """The content of histories: an App, the commands that clients send, and what must hold besides G1 to G11.

    `begin` gets the seed of each history, to reset external state of the App. `cure` is deployed at some moment in some
    histories. `given` is in the log before the first step. `refuses` says which rows the read store refuses in some
    histories; a row that is refused once must be refused after each later event too, because whether it is stored in
    between depends on where pages end.
    """

    app: App
    commands: Commands
    appends: Appends | None = None
    always: Mapping[Any, Callable[[Any], bool]] = field(default_factory=dict)
    may_park: bool = False
    begin: Callable[[str], None] = lambda seed: None
    cure: Cure | None = None
    given: Sequence[Append] = ()
    refuses: Refuses | None = None
    observed: Observed = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "observed", Observed(self.app))
