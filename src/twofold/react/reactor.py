"""A reactor: turns events into commands for other streams. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from twofold.errors import ConfigurationError
from twofold.failures import shown
from twofold.feed.checkpoints import FOLLOWER_NAME, FollowerId
from twofold.messages import Recorded
from twofold.signatures import message_types


@dataclass(frozen=True, slots=True)
class To:
    """A command for the stream `id` of a decider."""

    decider: Any  # a Decider: this side does not import the other
    id: str
    command: object


@dataclass(frozen=True, eq=False)
class Reactor:
    """`react(event, recorded)` returns the commands that follow from an event; each takes effect exactly once.

    It is pure: the same event gives the same commands in the same order, since their ids depend on that order.
    Or it is a coroutine function with an effect outside (a mail, a request), which returns None or commands and runs at
    least once for each event: again after a crash, and after a pause when it raises. `recorded.id` is the same each
    time, so the receiver can detect repetitions. It has to limit its own time.

    A refusal that needs a reaction should be an event; `Rejected` here is a defect. The annotation of `event` says
    which events it gets. `start` says where it starts when it is new: at the first event, or with the next one.

    Raises: ConfigurationError.
    """

    name: str
    react: Callable[[Any, Recorded], Sequence[To] | Awaitable[Sequence[To] | None]]
    start: Literal["beginning", "now"]
    event_types: tuple[type, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not FOLLOWER_NAME.fullmatch(self.name):
            raise ConfigurationError(f"{self.owner}: a name has lower-case letters, digits and _ (at most 48)")
        if self.start not in ("beginning", "now"):
            raise ConfigurationError(f'{self.owner}: start must be "beginning" or "now", not {self.start!r}')
        types = message_types(self.react, parameters=2, index=0, owner=f"{self.owner}, react", may_await=True)
        object.__setattr__(self, "event_types", types)

    @property
    def owner(self) -> str:
        """How errors name this reactor."""
        return f"reactor {self.name!r}"

    @property
    def follows(self) -> FollowerId:
        """The id of its checkpoint."""
        return FollowerId(self.name)

    def commands(self, recorded: Recorded) -> list[tuple[str, To]]:
        """The commands that follow from an event, each with its command id; `react` is a plain function.

        Raises: what `react` raises; TypeError if it returns something other than commands.
        """
        return self.named(recorded, self.react(recorded.event, recorded))

    def named(self, recorded: Recorded, returned: object) -> list[tuple[str, To]]:
        """The commands that `react` returned, each with its command id.

        The id is made from reactor, event and index: the same on every backend, and in a copy. Raises: TypeError.
        """
        if not isinstance(returned, list | tuple):
            raise TypeError(f"{self.owner}: react must return a list of To(…), not {shown(returned)}")
        commands = []
        for index, to in enumerate(returned):
            if not isinstance(to, To):
                raise TypeError(f"{self.owner}: react must return a list of To(…), not {shown(to)}")
            origin = f"{self.name}|{recorded.stream}|{recorded.version}|{index}|{to.decider.category}-{to.id}"
            commands.append((sha256(origin.encode()).hexdigest()[:32], to))
        return commands
