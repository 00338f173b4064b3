"""What must hold for the evidence. Pure: each check takes what was found and yields its violations."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from torture.evidence import Evidence, Logged, Violation, places
from torture.journal import Acked, Asked, Fact, Looked, Refused, Seen
from torture.models import cursed, later_cuts, reactions, rows, shelves
from torture.parts import position_of

Command = tuple[str, str]  # stream and command id
Stored = tuple[int, int, int]  # version, events, position

HONEST = ("ReadModelBehind", "Unavailable")


def check(evidence: Evidence) -> list[Violation]:
    """All violations."""
    return list(
        chain(
            in_order(evidence.events, evidence.dense),
            receipts(evidence.events, evidence.receipts),
            answers(evidence.events, evidence.receipts, evidence.facts),
            *(feed(number, events, evidence.facts) for number, events in evidence.feeds().items()),
            uncut(evidence.events, evidence.merged),
            later_cuts(evidence.merged),
            rows(evidence),
            reactions(evidence.events),
            shelves(evidence.events),
            tokens(evidence.facts, cursed(evidence.events)),
            evidence.complaints,
        )
    )


def in_order(events: Sequence[Logged], dense: bool = True) -> Iterator[Violation]:
    """Positions count from 1 without a gap, or at least increase, and versions of each stream have no gap (G4)."""
    versions: dict[str, int] = defaultdict(int)
    offsets: dict[int, int] = defaultdict(int)
    for event in events:
        at = position_of(event.position)
        expected = offsets[at.partition] + 1
        if at.offset < expected or (dense and at.offset > expected):
            yield Violation("gap", f"expected {'' if dense else 'at least '}position {expected}, found {at}")
            return
        offsets[at.partition] = at.offset
        versions[event.stream] += 1
        if event.version != versions[event.stream]:
            yield Violation("gap", f"{event.stream}: expected version {versions[event.stream]}, found {event.version}")
            versions[event.stream] = event.version


def receipts(events: Sequence[Logged], kept: Mapping[Command, Stored]) -> Iterator[Violation]:
    """Each command of a stream is stored once, whole, and matches its receipt (G1, G3)."""
    stored = by_command(events)
    for command, found in stored.items():
        first, last = found[0], found[-1]
        together = last.position - first.position == last.version - first.version == len(found) - 1
        receipt = kept.get(command)
        if not together:
            yield Violation("doubled", f"{name(command)} is stored at {places(found)}: more than once")
        elif receipt is None:
            yield Violation("lost", f"{name(command)} has events but no receipt")
        elif receipt != (last.version, len(found), last.position):
            kind = "doubled" if len(found) > receipt[1] else "lost"
            yield Violation(kind, f"{name(command)} is stored at {places(found)}, but its receipt says {receipt}")
    for command, (_, count, _) in kept.items():
        if count and command not in stored:
            yield Violation("lost", f"{name(command)} has a receipt but no events")


def answers(
    events: Sequence[Logged], kept: Mapping[Command, Stored], facts: Sequence[tuple[str, Fact]]
) -> Iterator[Violation]:
    """Acknowledged commands are stored as acknowledged, refused ones are not, the rest at most once (G1, G3).

    A command counts as unknown when its answer said so, or when its caller died before the answer.
    """
    asked: dict[Command, list[Asked]] = defaultdict(list)
    acked: dict[Command, list[Acked]] = defaultdict(list)
    refusals: dict[Command, int] = defaultdict(int)
    for _, fact in facts:
        if isinstance(fact, Asked):
            asked[fact.stream, fact.id].append(fact)
        elif isinstance(fact, Acked):
            acked[fact.stream, fact.id].append(fact)
        elif isinstance(fact, Refused):
            refusals[fact.stream, fact.id] += 1
    for command, asks in asked.items():
        if command in acked:
            yield from acknowledged(command, asks[0], acked[command], kept.get(command))
        elif command not in kept:
            continue
        elif refusals[command] == len(asks):
            yield Violation("refused", f"{name(command)} was refused, but is stored: {kept[command]}")
        elif kept[command][1] not in asks[0].sizes:
            yield Violation("torn", f"{name(command)} stored {kept[command][1]} events, not {asks[0].sizes}")
    for command, found in by_command(events).items():
        if command not in asked and found[0].causation_id is None:
            yield Violation("doubled", f"{name(command)} is stored at {places(found)}, but nobody sent it")


def acknowledged(command: Command, asked: Asked, acked: Sequence[Acked], kept: Stored | None) -> Iterator[Violation]:
    """Check a command that was acknowledged, perhaps several times."""
    answered = {(one.version, one.events, one.position) for one in acked}
    if len(answered) > 1 or sum(not one.repeated for one in acked) > 1:
        yield Violation("doubled", f"{name(command)} was acknowledged as if it ran more than once: {answered}")
    elif kept is None:
        yield Violation("lost", f"{name(command)} was acknowledged with {answered}, but is not stored")
    elif answered != {kept}:
        yield Violation("lost", f"{name(command)} was acknowledged with {answered}, but is stored as {kept}")
    elif kept[1] not in asked.sizes:
        yield Violation("torn", f"{name(command)} stored {kept[1]} events, not {asked.sizes}")
    elif asked.expected_version not in (None, kept[0] - kept[1]):
        yield Violation("refused", f"{name(command)} expected {asked.expected_version}, but was stored as {kept}")


def uncut(events: Sequence[Logged], merged: Sequence[Logged]) -> Iterator[Violation]:
    """At the end every event is in a cut, once."""
    if merged and len({(e.stream, e.version) for e in merged}) != len(events):
        yield Violation("skipped", f"{len(events)} events are in the partitions, {len(merged)} in their merged feed")


def feed(partition: int, events: Sequence[Logged], facts: Sequence[tuple[str, Fact]]) -> Iterator[Violation]:
    """A reader that resumes at its cursor sees every event once, in order (G4)."""
    pages: dict[str, list[Seen]] = defaultdict(list)
    for reader, fact in facts:
        if isinstance(fact, Seen) and fact.partition == partition:
            pages[reader].append(fact)
    places = [position_of(event.position).offset for event in events]
    for reader, read_pages in pages.items():
        cursor = 0
        for page in read_pages:
            if page.after != cursor:
                yield Violation("skipped", f"{reader} resumed after {page.after}, but its cursor was {cursor}")
            first, last = bisect_right(places, page.after), bisect_right(places, page.upto)
            there = [(places[i], events[i].stream, events[i].version) for i in range(first, last)]
            seen = [tuple(one) for one in page.events]
            for missed in sorted(set(there) - set(seen)):
                yield Violation("skipped", f"{reader} never saw {missed}, though it read {page.after} to {page.upto}")
            for strange in sorted(set(seen) - set(there)):
                yield Violation("lost", f"{reader} saw {strange}, which is not in the log")
            if len(seen) != len(set(seen)) or seen != sorted(seen):
                yield Violation(
                    "doubled", f"{reader} saw events twice or out of order from {page.after} to {page.upto}"
                )
            cursor = page.upto
        if bisect_right(places, cursor) != len(events):
            yield Violation("skipped", f"{reader} ended at {cursor} of {len(events)} events")


def tokens(facts: Sequence[tuple[str, Fact]], may_park: Collection[str]) -> Iterator[Violation]:
    """A read with a token sees that write or reports that it cannot (G6)."""
    for _, fact in facts:
        if not isinstance(fact, Looked) or fact.answer in HONEST:
            continue
        if fact.answer == "RowParked":
            if fact.stream not in may_park:
                yield Violation("stale", f"{fact.stream} was reported as parked, but is not")
        elif fact.answer not in ("get", "find"):
            yield Violation("stale", f"{fact.stream} with the token of version {fact.version}: {fact.answer}")
        elif fact.found < fact.version and not (fact.answer == "find" and fact.parked and fact.stream in may_park):
            text = f"{fact.stream} with the token of version {fact.version} was read at version {fact.found}"
            yield Violation("stale", f"{text} by {fact.answer}")


def by_command(events: Sequence[Logged]) -> dict[Command, list[Logged]]:
    """Group events by command."""
    found: dict[Command, list[Logged]] = defaultdict(list)
    for event in events:
        found[event.stream, event.command_id].append(event)
    return found


def name(command: Command) -> str:
    """Name a command in a message."""
    return f"command {command[1]} of {command[0]}"
