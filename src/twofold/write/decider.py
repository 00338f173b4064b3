"""A write model: which commands it accepts, and the state that its events lead to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from twofold.errors import ConfigurationError, InvalidInput, TwofoldError
from twofold.failures import mark_of_user_code, shown
from twofold.kept import Kept, is_fixed_class, own
from twofold.messages import Receipt, Stream
from twofold.signatures import message_types

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, eq=False)
class Decider(Generic[C, S, E]):
    """The streams of one category.

    `decide(command, state)` returns the resulting events, an empty list if there is nothing to do, or raises
    `Rejected`. `evolve(state, event)` returns the next state; it must not refuse an event, which has already happened.
    Both are pure. A stream that does not exist has the state `initial`. Mutable commands, states and events are passed
    as copies, so changing one affects nothing but the return value.

    With `stored="state"` each save is one event that holds the whole new state: a document with its history.

    `internal` lists commands that clients may not send, such as those that reactors send: no edge serves them.

    Raises: ConfigurationError for an invalid category or annotation.
    """

    category: str
    initial: S
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]
    stored: Literal["events", "state"] = "events"
    internal: Sequence[type] = ()
    event_types: tuple[type, ...] = field(init=False, repr=False, compare=False)
    command_types: tuple[type, ...] = field(init=False, repr=False, compare=False)
    first: Kept[S] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            Stream(self.category, "any")
        except InvalidInput as error:
            raise ConfigurationError(f"decider: {error}") from None
        if self.stored not in ("events", "state"):
            raise ConfigurationError(f'{self.owner}: stored must be "events" or "state", not {self.stored!r}')
        commands = message_types(self.decide, parameters=2, index=0, owner=f"{self.owner}, decide")
        events = message_types(self.evolve, parameters=2, index=1, owner=f"{self.owner}, evolve")
        for command in self.internal:
            if command not in commands:
                names = ", ".join(cls.__name__ for cls in commands)
                raise ConfigurationError(f"{self.owner}: internal= lists {command!r:.80}; it decides {names}")
        object.__setattr__(self, "command_types", commands)
        object.__setattr__(self, "event_types", events)
        object.__setattr__(self, "first", Kept(self.initial))

    @property
    def owner(self) -> str:
        """How errors name this decider."""
        return f"decider {self.category!r}"

    @property
    def recorded_types(self) -> tuple[type, ...]:
        """The classes that its streams contain: its events, or the state itself."""
        return (type(self.initial),) if self.stored == "state" else self.event_types

    def stream(self, id: str) -> Stream:
        """Raises: InvalidInput when `id` cannot name a stream."""
        return Stream(self.category, id)

    def state(self, events: Iterable[E]) -> S:
        """The state that these events lead to from the initial one."""
        return self.evolved(self.first.own(), map(own, events))

    def evolved(self, state: S, events: Iterable[E]) -> S:
        """The state that these events lead to from `state`. `evolve` may change both `state` and the events."""
        evolve, may_be_none = self.evolve, self.initial is None
        for event in events:
            try:
                state = evolve(state, event)
            except TwofoldError as error:
                mark_of_user_code(error)
                raise
            if state is None and not may_be_none:
                raise TypeError(f"{self.owner}: evolve returned None for {shown(event, 200)}: a case without a return?")
        return state

    def after(self, state: S, recorded: Iterable[Any]) -> S:
        """The state after events, or saved states, that were read from a stream or are about to be appended."""
        if self.stored == "events":
            return self.evolved(state, recorded)
        for saved in recorded:
            state = saved
        return state

    def decided(self, command: C, state: S) -> list[E]:
        """The events that `decide` returns. It may change `state`; a mutable command is copied.

        Raises: Rejected, InvalidInput for a command of another type, TypeError if `decide` does not return a list.
        """
        if not isinstance(command, self.command_types):
            names = " | ".join(cls.__name__ for cls in self.command_types)
            raise InvalidInput(f"{self.owner} decides {names}, not {shown(command, 200)}")
        try:
            events = self.decide(own(command), state)
        except TwofoldError as error:
            mark_of_user_code(error)
            raise
        if not isinstance(events, list | tuple):
            hint = "; to do nothing, return an empty one" if events is None else ""
            raise TypeError(f"{self.owner}: decide must return a list of events, not {shown(events)}{hint}")
        return list(events)

    def to_record(self, command: C, state: S) -> list[Any]:
        """What is to be appended for this command: events, or the one new state. Raises: as `decided`."""
        if self.stored == "events":
            return self.decided(command, state)
        before = own(state)
        events = self.decided(command, state)
        return [self.evolved(before, events)] if events else []

    def handed(self, recorded: list[Any]) -> list[Any]:
        """Events read from the log, for `evolve`: copies if they are mutable, since others get them too."""
        return recorded if self._events_are_fixed else [own(event) for event in recorded]

    @cached_property
    def _events_are_fixed(self) -> bool:
        return all(is_fixed_class(cls) for cls in self.recorded_types)


@dataclass(frozen=True, slots=True)
class Done(Generic[S, E]):
    """The result of a command: the receipt, the state after it, and the events it appended.

    The same command id on the same stream always returns the same result, whatever has happened since.
    For a state-stored decider `events` holds the one saved state.
    """

    receipt: Receipt
    state: S
    events: tuple[E, ...]


def check_decider(decider: object) -> None:
    """Raises: InvalidInput for a category, or anything else that is not a Decider."""
    if not isinstance(decider, Decider):
        raise InvalidInput(
            f"pass the Decider itself, not {decider!r:.80}; a read model takes no commands: read it with get or find"
        )
