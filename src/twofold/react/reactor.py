"""A reactor: turns events into commands for other streams. Pure."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from twofold.errors import ConfigurationError
from twofold.failures import shown
from twofold.feed.checkpoints import FollowerId
from twofold.messages import Recorded
from twofold.signatures import message_types

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


@dataclass(frozen=True, slots=True)
class To:
    """A command for the stream `id` of a decider."""

    decider: Any  # a Decider: this side does not import the other
    id: str
    command: object


@dataclass(frozen=True, eq=False)
class Reactor:
    """`react(event, recorded)` answers the commands that follow from an event; each is executed once in effect.

    It is pure: the same event gives the same commands in the same order, for their ids are made from that order.
    Or it is a coroutine function, which has an effect outside (a mail, a request), answers None or commands, and runs
    at least once for each event: again after a crash, and with pauses when it raises. `recorded.id` is the same each
    time, so whoever is told can tell. Its time-outs are its own.

    A refusal that somebody must react to is an event; `Rejected` here is a defect. The annotation of `event` says
    which events it gets. `start` says where it begins when it is new: at the first event, or with the next one.

    Raises: ConfigurationError.
    """

    name: str
    react: Callable[[Any, Recorded], Sequence[To] | Awaitable[Sequence[To] | None]]
    start: Literal["beginning", "now"]
    event_types: tuple[type, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(f"{self.owner}: a name is small letters, digits and _ (at most 48)")
        if self.start not in ("beginning", "now"):
            raise ConfigurationError(f'{self.owner}: start is "beginning" or "now", not {self.start!r}')
        types = message_types(self.react, parameters=2, index=0, owner=self.owner, may_await=True)
        object.__setattr__(self, "event_types", types)

    @property
    def owner(self) -> str:
        """How errors name this reactor."""
        return f"reactor {self.name!r}"

    @property
    def follows(self) -> FollowerId:
        """Whose checkpoint it is."""
        return FollowerId(self.name)

    def commands(self, recorded: Recorded) -> list[tuple[str, To]]:
        """The commands that follow from an event, each with its command id; `react` is a plain function.

        Raises: whatever `react` raises, TypeError when it answers something else than commands.
        """
        return self.named(recorded, self.react(recorded.event, recorded))

    def named(self, recorded: Recorded, answer: object) -> list[tuple[str, To]]:
        """The commands that `react` has answered, each with its command id.

        The id is made from reactor, event and place: the same on every backend, and after a copy. Raises: TypeError.
        """
        if not isinstance(answer, list | tuple):
            raise TypeError(f"{self.owner}: react must answer a list of To(…), not {shown(answer)}")
        found = []
        for index, to in enumerate(answer):
            if not isinstance(to, To):
                raise TypeError(f"{self.owner}: react must answer a list of To(…), not {shown(to)}")
            origin = f"{self.name}|{recorded.stream}|{recorded.version}|{index}|{to.decider.category}-{to.id}"
            found.append((sha256(origin.encode()).hexdigest()[:32], to))
        return found
