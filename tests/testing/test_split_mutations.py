"""What happens when a partition splits is broken on purpose, and the simulator must notice (see `test_mutations`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest

from simulated import SCENARIOS
from simulated.directory import IN_THE_DIRECTORY
from simulated.letters import IN_THE_OFFICE
from simulated.notebook import IN_THE_NOTEBOOK
from simulated.warehouse import IN_THE_WAREHOUSE
from twofold.app import Running
from twofold.backends.cosmos import layout
from twofold.backends.cosmos.part import Part, Registry
from twofold.backends.memory import MemoryCheckpoints
from twofold.backends.partitioned.cuts import Cuts
from twofold.backends.partitioned.merged import Merged
from twofold.backends.partitioned.proposing import Proposer
from twofold.feed import follow, handover
from twofold.feed.checkpoints import Claim, Parked
from twofold.feed.partitions import leaf_of, parts_of
from twofold.messages import Position
from twofold.read import freshness
from twofold.read.freshness import Freshness
from twofold.read.rebuild import Rebuilding
from twofold.read.watched import Standing
from twofold.testing.simulation.faults import FAULTS
from twofold.testing.simulation.histories import in_silence, run, run_histories, worst
from twofold.testing.simulation.plan import Plan, draw
from twofold.testing.simulation.scenario import Scenario
from twofold.testing.simulation.violations import Violation

pytestmark = pytest.mark.slow

HISTORIES = 50  # without a defect
MOST = 1_000  # so many at most until a defect must have shown

Patch = pytest.MonkeyPatch
replaced = msgspec.structs.replace


class Defect(NamedTuple):
    patch: Callable[[Patch], None]
    scenarios: Sequence[Scenario]
    among: Sequence[str]
    first: int

    def plan(self, seed: int) -> Plan:
        """A history in which it may show."""
        faults = [FAULTS[name] for name in self.among]
        return draw(self.scenarios[seed % len(self.scenarios)], seed, faults, splits=True)


DEFECTS: dict[str, Defect] = {}


def defect(
    *scenarios: Scenario, among: Sequence[str] = (), first: int = 1
) -> Callable[[Callable[[Patch], None]], None]:
    """A defect, the scenarios and faults with which it shows soon, and the seed to begin with."""

    def kept(patch: Callable[[Patch], None]) -> None:
        DEFECTS[patch.__name__] = Defect(patch, scenarios or SCENARIOS, among, first)

    return kept


async def _nothing(*_: Any, **__: Any) -> None:
    return None


# ---- handing over


def splitting(patch: Patch, **changed: Callable[[Any, Any], Any]) -> None:
    """The parts' checkpoints are different from what they should be."""
    split = MemoryCheckpoints.split

    async def wrong(self: Any, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        before, there = self.held(claim), set(self.rows)
        await split(self, claim, at, parts)
        for number in parts:
            name = claim.follower.in_partition(number)
            if name not in there:
                row = self.rows[name]
                self.rows[name] = replaced(row, **{field: made(before, row) for field, made in changed.items()})

    patch.setattr(MemoryCheckpoints, "split", wrong)


@defect()
def the_parts_begin_in_the_epoch_of_the_parent(patch: Patch) -> None:
    splitting(patch, epoch=lambda before, row: before.epoch)


@defect()
def the_parts_begin_at_the_beginning(patch: Patch) -> None:
    splitting(patch, position=lambda before, row: Position(row.position.partition, 0))


@defect()
def the_parts_begin_a_little_later(patch: Patch) -> None:
    splitting(patch, position=lambda before, row: Position(row.position.partition, row.position.offset + (1 << 14)))


@defect()
def the_checkpoint_of_the_parent_stays(patch: Patch) -> None:
    split = MemoryCheckpoints.split

    async def keeping(self: Any, claim: Claim, *values: Any) -> None:
        row = self.held(claim)
        await split(self, claim, *values)
        self.rows[claim.follower] = row

    patch.setattr(MemoryCheckpoints, "split", keeping)


@defect(IN_THE_NOTEBOOK, IN_THE_OFFICE)
def what_was_parked_is_forgotten(patch: Patch) -> None:
    split = MemoryCheckpoints.split

    async def forgetting(self: Any, claim: Claim, at: Position, parts: Mapping[int, Any]) -> None:
        await split(self, claim, at, dict.fromkeys(parts, ()))

    patch.setattr(MemoryCheckpoints, "split", forgetting)


@defect(IN_THE_NOTEBOOK, IN_THE_OFFICE, first=75)
def what_was_parked_goes_to_the_first_part(patch: Patch) -> None:
    patch.setattr(handover, "leaf_of", lambda log, partition, _: min(parts_of(log, partition)))


@defect()
def the_parts_inherit_nothing(patch: Patch) -> None:
    patch.setattr(follow, "inherit", _nothing)
    patch.setattr(follow, "hand_over", _nothing)


@defect(first=248)
def a_checkpoint_that_is_gone_is_created_again(patch: Patch) -> None:
    """By a process that does not ask whether there are parts of its partition."""
    patch.setattr(follow, "apart_from", lambda log, partition: range(100))


@defect()
def the_parts_have_no_followers(patch: Patch) -> None:
    patch.setattr(Running, "_follow_splits", lambda self: self._add_lags())


@defect(first=46)
def a_split_is_handed_over_without_looking_who_holds_it(patch: Patch) -> None:
    """It is written without a claim, in the epoch that was seen."""

    async def unclaimed(checkpoints: Any, follower: Any, feed: Any, owner: str) -> None:
        seen = await checkpoints.read(follower)
        if seen is not None:
            parts: dict[int, list[Parked]] = {part: [] for part in parts_of(feed, follower.partition)}
            for one in await checkpoints.parked(follower):
                parts[leaf_of(feed, follower.partition, handover._stream_id(one))].append(one)
            await checkpoints.split(Claim(follower, seen.epoch), seen.position, parts)

    patch.setattr(handover, "hand_over", unclaimed)
    patch.setattr(follow, "hand_over", unclaimed)


# ---- the feed


@defect()
def a_former_partition_is_read_on(patch: Patch) -> None:
    patch.setattr(Registry, "is_leaf", lambda self, number: True)


@defect()
def pages_are_taken_as_they_come(patch: Patch) -> None:
    """Twice, and in any order."""

    def entries(self: Any, pages: Any, after: Position, upto: Position) -> Any:
        for page in pages:
            for document in page.documents:
                if document["kind"] == "commit":
                    yield from [e for e in layout.entries(document, self.partition) if e.position > after]

    patch.setattr(Part, "_entries", entries)


@defect()
def a_page_ends_where_the_range_does(patch: Patch) -> None:
    changes = Part._changes

    async def farther(self: Any, *values: Any) -> Any:
        return [replaced(page, upto=page.newest) for page in await changes(self, *values)]

    patch.setattr(Part, "_changes", farther)


@defect()
def a_former_partition_ends_where_its_last_part_does(patch: Patch) -> None:
    sources = Registry.sources
    patch.setattr(Registry, "sources", lambda self, number: sources(self, number)[-1:])


# ---- tokens


@defect(IN_THE_NOTEBOOK, IN_THE_DIRECTORY, first=389)
def a_token_is_reached_when_one_part_is(patch: Patch) -> None:
    patch.setattr(freshness, "min", max, raising=False)


@defect(IN_THE_NOTEBOOK, IN_THE_DIRECTORY, first=21)
def a_token_of_a_part_does_not_know_the_parent(patch: Patch) -> None:
    patch.setattr(freshness, "ancestors", lambda log, partition: ())


@defect(IN_THE_NOTEBOOK, IN_THE_DIRECTORY, first=117)
def reads_do_not_learn_of_new_partitions(patch: Patch) -> None:
    patch.setattr(freshness, "learn", _nothing)


@defect(IN_THE_DIRECTORY, first=31)
def a_token_of_a_former_partition_is_always_reached(patch: Patch) -> None:
    at_least = Freshness.at_least

    async def any_(self: Any, token: Any, *values: Any) -> Any:
        if token is not None and token.position.partition in getattr(self._log, "former", ()):
            token = None
        return await at_least(self, token, *values)

    patch.setattr(Freshness, "at_least", any_)


# ---- cuts


@defect(IN_THE_WAREHOUSE)
def the_parts_begin_at_the_beginning_in_the_next_cut(patch: Patch) -> None:
    def whole(self: Any, vector: Any) -> Any:
        return (*vector, *(0 for _ in self.lineage.parents()[len(vector) :]))

    patch.setattr(Cuts, "whole", whole)


@defect(IN_THE_WAREHOUSE)
def the_parts_begin_at_their_ends_in_the_next_cut(patch: Patch) -> None:
    whole = Cuts.whole

    def later(self: Any, vector: Any) -> Any:
        found = whole(self, vector)
        return (*vector, *(offset + (1 << 14) for offset in found[len(vector) :]))

    patch.setattr(Cuts, "whole", later)


@defect(IN_THE_WAREHOUSE)
def news_of_the_parts_make_no_cut(patch: Patch) -> None:
    async def has_news(self: Any, last: Any) -> bool:
        feeds = {number: feed for number, feed in self._feeds.items() if number <= len(last.vector)}
        heads = [await feed.head() for feed in feeds.values()]
        return any(head.offset > last.vector[head.partition - 1] for head in heads)

    patch.setattr(Proposer, "has_news", has_news)


@defect(IN_THE_DIRECTORY, among=["upgrade", "rebuild", "crash"], first=201)
def a_version_has_come_as_far_as_its_foremost_part(patch: Patch) -> None:
    def come(self: Any, number: int, at: Mapping[int, Position]) -> int:
        if number in at:
            return at[number].offset
        parts = [n for n, parent in enumerate(self.cuts.lineage.parents(), 1) if parent == number]
        return max((self._come(part, at) for part in parts), default=1 << 40)

    patch.setattr(Merged, "_come", come)


# ---- operators and watchers


@defect(IN_THE_DIRECTORY, IN_THE_NOTEBOOK, among=["rebuild"], first=124)
def a_rebuild_of_the_parent_replaces_the_parts(patch: Patch) -> None:
    patch.setattr(Rebuilding, "_come_as_far", _nothing)


@defect()
def watchers_go_on_in_the_parts_as_if_nothing_had_been(patch: Patch) -> None:
    patch.setattr(Standing, "follows", lambda self, token: True)


def first_violation(of: Defect, most: int) -> tuple[int, Violation] | None:
    """The seed of the first history that shows it, and what is broken in it."""
    with in_silence():
        for seed in range(of.first, of.first + most):
            if violations := run(of.plan(seed)).violations:
                return seed, worst(violations)
    return None


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_noticed(name: str, monkeypatch: Patch) -> None:
    DEFECTS[name].patch(monkeypatch)
    assert first_violation(DEFECTS[name], MOST) is not None


def test_without_a_defect_nothing_is_noticed() -> None:
    run_histories(SCENARIOS, range(1, 1 + HISTORIES), splits=True)
