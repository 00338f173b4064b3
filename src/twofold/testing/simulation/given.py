"""The events that a simulation starts with: checked against the App and turned into appends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.app import App
from twofold.errors import ConfigurationError, InvalidEvent, InvalidInput
from twofold.messages import Append, Meta, Stream

Given = Mapping[str, Sequence[Any]] | Sequence[tuple[str, Any]]
"""The events of each stream, or pairs of stream and event in the order of the feed."""


def appends_of(given: Given, app: App) -> list[Append]:
    """One append per stream or per pair. Raises: ConfigurationError, with the stream and the event."""
    found: list[Append] = []
    events: dict[str, list[Any]] = {}
    for number, (named, new) in enumerate(_pairs(given), start=1):
        stream = str(named) if isinstance(named, Stream) else named
        meta = Meta(f"given {number}", f"given {number}")
        try:
            encoded = [app.codec.encode(event) for event in new]
            found.append(Append(Stream.parse(stream), encoded, len(events.get(stream, ())), meta))
        except (InvalidInput, InvalidEvent, ConfigurationError) as error:
            raise ConfigurationError(f"given: {stream!r:.80}: {error}") from error
        events.setdefault(stream, []).extend(new)
    for stream, its in events.items():
        _check(stream, its, app)
    return found


def _pairs(given: Given) -> Sequence[tuple[Any, Sequence[Any]]]:
    if isinstance(given, Mapping):
        pairs: list[tuple[Any, Any]] = list(given.items())
        wrong = [stream for stream, events in pairs if not isinstance(events, list | tuple)]
        if wrong:
            raise ConfigurationError(f"given: {wrong[0]!r:.80} has no list of events, but {given[wrong[0]]!r:.80}")
        return pairs
    for pair in given if isinstance(given, list | tuple) else [given]:
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise ConfigurationError(
                f"given: a history is a dict of streams with their events, or a list of (stream, event), "
                f"not {pair!r:.80}"
            )
    return [(stream, [event]) for stream, event in given]


def _check(stream: str, events: Sequence[Any], app: App) -> None:
    """The decider of a stream must be able to read it; a stream without one holds what some projection consumes."""
    deciders = {decider.category: decider for decider in app.deciders}
    decider = deciders.get(Stream.parse(stream).category)
    if decider is None:
        raise ConfigurationError(f"given: {app.name} has no decider for {stream!r}; it has {', '.join(deciders)}")
    for event in events:
        if not isinstance(event, decider.recorded_types):
            names = ", ".join(cls.__name__ for cls in decider.recorded_types)
            raise ConfigurationError(f"given: streams of {decider.owner} hold {names}, and {stream} has {event!r:.200}")
    try:
        decider.after(decider.initial, events)
    except Exception as error:  # the user's evolve may raise anything
        raise ConfigurationError(f"given: {stream} cannot be folded: {type(error).__name__}: {error}") from error
