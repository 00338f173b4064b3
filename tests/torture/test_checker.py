"""The checker of the torture can fail: each kind of violation is planted in a valid history and found."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from torture.app import corrected_app
from torture.appender import Appender, Command, Errand
from torture.checker import check
from torture.cosmos_evidence import gather_from_ranges
from torture.cosmos_ground import CosmosGround
from torture.domain import Cancel, Deliver, Item, Place
from torture.evidence import CUT_BITS, Evidence, Logged, Violation, gather
from torture.journal import Acked, Asked, Journals, Looked, Refused, Seen, Unknown
from torture.member import Member, Orders
from torture.mender import retry
from torture.models import UNKNOWN_CUTS, later_cuts, reactions, read, shelves
from torture.parts import OFFSET_BITS, looked, url_of
from torture.reader import follow, got
from twofold import operate
from twofold.app import Running
from twofold.feed.partitions import feeds, partition_of
from twofold.messages import Position, Stream

set_ = msgspec.structs.replace


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """One process without faults: one of everything."""
    folder = tmp_path_factory.mktemp("peace")
    return asyncio.run(peace(folder, f"sqlite:///{folder}/peace.db"))


@pytest.fixture(scope="module")
def of_four(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The same on a log of four partitions."""
    folder = tmp_path_factory.mktemp("parts")
    return asyncio.run(peace(folder, url_of(folder, 4)))


@pytest.fixture(scope="module")
def of_ranges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """The same on a log in Azure Cosmos DB, of two ranges, one of which splits amid the commands."""
    folder = tmp_path_factory.mktemp("ranges")
    ground = CosmosGround(folder, 2)

    async def split() -> None:
        assert await ground.strike("split a range", Random(2)) == 1

    try:
        yield asyncio.run(peace(folder, ground.url, split, gather_from_ranges))
    finally:
        ground.close()


async def nothing() -> None:
    """No fault."""


async def peace(
    folder: Path, url: str, amid: Callable[[], Awaitable[None]] = nothing, gather: Any = gather
) -> Evidence:
    journals = folder / "journals"
    journals.mkdir()
    member = Member(Orders("appender", "appender-0", 1, url, str(journals), "seed"))
    tailing = Member(Orders("reader", "reader-0", 1, url, str(journals), "seed"))
    async with member.opened() as running:
        running.work()
        appender = Appender(member, running)
        tea, pot = Item("tea", 2), Item("pot", 1)
        commands: list[tuple[str, Command]] = [
            ("tea", Deliver(5)),
            ("tea", Deliver(0)),
            ("tea", Deliver(-1)),
            ("tea", Deliver(1, "\x00")),
            ("o1", Place((tea, pot))),
            ("o1", Place((tea,))),
            ("o2", Place((tea,))),
            ("o2", Cancel()),
            ("o2", Cancel()),
            ("o3", Place((pot,), curse="for ever")),
            ("o4", Place((tea,))),
            ("o4", Cancel(curse="for ever")),
            ("o5", Place((pot,), curse="until fixed")),
        ]
        for number, (name, command) in enumerate(commands):
            if number == len(commands) // 2:
                await amid()
            await appender.send(Errand(f"c{number}", name, command))
            await appender.send(Errand(f"c{number}", name, command))
        await appender.send(Errand("stale", "tea", Deliver(1), expected_version=1))
        followed = {running.log.partition: running.log, **feeds(running.log)}
        reading = [asyncio.create_task(follow(tailing, running.log, feed)) for feed in followed.values()]
        await until_all_is_done(running)
        async with looked(corrected_app, url) as corrected:
            unparked = await retry(corrected)
            assert (len(unparked.done), len(unparked.again)) == (1, 2)
        await until_all_is_done(running)
        for fact in [Acked("", "order-o1", 1, 1, 1, "", False), Acked("", "stock-tea", 1, 1, 1, "", False)]:
            part = feeds(running.log)[partition_of(running.log, Stream.parse(fact.stream).id)]
            position = f"{running.log.log_id}:{await part.head()}"
            tailing.journal.write(await got(running, set_(fact, token=position), 1.0))
        await until_all_is_seen(journals, running)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    evidence: Evidence = await gather(url, journals, [])
    return evidence


def seen_in(journals: Path) -> Sequence[tuple[int, str, int]]:
    """All events that the readers saw, in any feed."""
    facts = [fact for _, fact in Journals(journals).news() if isinstance(fact, Seen)]
    return [event for fact in facts for event in fact.events]


async def until_all_is_seen(journals: Path, running: Running) -> None:
    """Wait until the readers reach the end of every feed."""
    followed = {running.log.partition: running.log, **feeds(running.log)}
    pages = [await feed.read(Position(feed.partition, 0), 10_000) for feed in followed.values()]
    while True:
        if len(seen_in(journals)) >= sum(len(page.entries) for page in pages):
            return
        await asyncio.sleep(0.05)


async def until_all_is_done(running: Running) -> None:
    """Wait until no reactions are left and no follower is behind."""
    heads: Any = None
    while heads != [await feed.head() for feed in feeds(running.log).values()] or any(
        status.lag_events or (status.kind == "reactor" and status.parked) for status in await operate.status(running)
    ):
        heads = [await feed.head() for feed in feeds(running.log).values()]
        await asyncio.sleep(0.1)


def test_a_true_history_has_no_violation(history: Evidence) -> None:
    assert check(history) == []
    kinds = {type(fact) for _, fact in history.facts}
    assert {Asked, Acked, Refused, Seen, Looked} <= kinds
    assert set(history.parked["torture_order"]) == {"o3", "o4"}


# ---- partitions


def test_a_true_history_of_four_partitions_has_no_violation(of_four: Evidence) -> None:
    assert check(of_four) == []
    assert {fact.partition for _, fact in of_four.facts if isinstance(fact, Seen)} >= {0, 1, 2, 3, 4} - empty(of_four)
    assert sorted(of_four.merged, key=lambda event: event.position) == of_four.merged


def empty(history: Evidence) -> set[int]:
    return {number for number in range(1, 5) if not history.feeds().get(number)}


def merged_in_another_order(history: Evidence) -> Evidence:
    first, second, *others = history.merged
    swapped = [set_(second, position=first.position), set_(first, position=second.position)]
    return replace(history, merged=[*swapped, *others])


def an_event_that_no_cut_takes(history: Evidence) -> Evidence:
    return replace(history, merged=history.merged[:-1])


def a_gap_in_one_partition(history: Evidence) -> Evidence:
    last = history.events[-1]
    return replace(history, events=[*history.events[:-1], set_(last, position=last.position + 1)])


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (merged_in_another_order, "skipped"),
        (an_event_that_no_cut_takes, "skipped"),
        (a_gap_in_one_partition, "gap"),
    ],
)
def test_what_is_planted_in_four_partitions_is_found(
    of_four: Evidence, plant: Callable[[Evidence], Evidence], kind: str
) -> None:
    assert kind in {violation.kind for violation in check(plant(of_four))}


# ---- ranges that split


def test_a_true_history_of_ranges_that_split_has_no_violation(of_ranges: Evidence) -> None:
    assert check(of_ranges) == []
    assert {fact.partition for _, fact in of_ranges.facts if isinstance(fact, Seen)} > {0}
    assert max(of_ranges.feeds()) > 2, "the split made no partition with a number of its own"


def two_events_in_one_place(history: Evidence) -> Evidence:
    last, others = history.events[-1], history.events[:-1]
    return replace(history, events=[*others, set_(last, position=others[-1].position)])


def an_answer_of_another_range(history: Evidence) -> Evidence:
    index = next(i for i, (_, fact) in enumerate(history.facts) if isinstance(fact, Acked) and fact.events)
    name, fact = history.facts[index]
    assert isinstance(fact, Acked)
    moved = set_(fact, position=fact.position + (1 << OFFSET_BITS))
    return replace(history, facts=[*history.facts[:index], (name, moved), *history.facts[index + 1 :]])


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (merged_in_another_order, "skipped"),
        (an_event_that_no_cut_takes, "skipped"),
        (two_events_in_one_place, "gap"),
        (an_answer_of_another_range, "doubled"),
    ],
)
def test_what_is_planted_in_ranges_is_found(
    of_ranges: Evidence, plant: Callable[[Evidence], Evidence], kind: str
) -> None:
    assert kind in {violation.kind for violation in check(plant(of_ranges))}


# ---- what follows


def test_what_follows_has_to_lie_in_a_later_cut() -> None:
    cause = Logged(UNKNOWN_CUTS + 1 << CUT_BITS | 1, "order-o1", 1, "Placed", "{}")
    effect = Logged(UNKNOWN_CUTS + 1 << CUT_BITS | 2, "stock-tea", 1, "Reserved", "{}", causation_id="order-o1@1")
    later = set_(effect, position=UNKNOWN_CUTS + 2 << CUT_BITS | 1)
    assert [violation.kind for violation in later_cuts([cause, effect])] == ["skipped"]
    assert list(later_cuts([cause, later])) == []


# ---- planting


def facts(history: Evidence, change: Callable[[Any], Any | None]) -> Evidence:
    """Change every fact; None removes it."""
    changed = [(name, change(fact)) for name, fact in history.facts]
    return replace(history, facts=[(name, fact) for name, fact in changed if fact is not None])


def with_facts(history: Evidence, *added: Any) -> Evidence:
    return replace(history, facts=[*history.facts, *[("appender-0", fact) for fact in added]])


def acked(history: Evidence, id: str) -> Acked:
    return next(fact for _, fact in history.facts if isinstance(fact, Acked) and fact.id == id)


def asked(id: str) -> Asked:
    return Asked(id, "stock-tea", "Deliver", "{}", (1,))


def appended(history: Evidence, *events: Logged) -> Evidence:
    """Move these events to the end of the log; the readers see them too."""
    versions = {event.stream: event.version for event in history.events}
    log = list(history.events)
    for event in events:
        versions[event.stream] = versions.get(event.stream, 0) + 1
        log.append(set_(event, position=len(log) + 1, version=versions[event.stream]))
    page = Seen(len(history.events), len(log), [(e.position, e.stream, e.version) for e in log[-len(events) :]])
    return replace(history, events=log, facts=[*history.facts, ("reader-0", page)])


def event_of(history: Evidence, id: str) -> Logged:
    return next(event for event in history.events if event.command_id == id)


def an_append_that_is_not_there(history: Evidence) -> Evidence:
    return with_facts(history, asked("x"), Acked("x", "stock-tea", 9, 1, 99, "", False))


def an_append_at_another_place(history: Evidence) -> Evidence:
    return facts(history, lambda f: set_(f, position=f.position + 1) if isinstance(f, Acked) and f.id == "c0" else f)


def an_empty_decision_without_receipt(history: Evidence) -> Evidence:
    kept = {command: stored for command, stored in history.receipts.items() if command[1] != "c1"}
    return replace(history, receipts=kept)


def events_without_a_receipt(history: Evidence) -> Evidence:
    kept = {command: stored for command, stored in history.receipts.items() if command[1] != "c0"}
    return facts(replace(history, receipts=kept), lambda f: None if getattr(f, "id", "") == "c0" else f)


def a_receipt_without_events(history: Evidence) -> Evidence:
    return replace(history, receipts={**history.receipts, ("order-o9", "x"): (2, 2, 4)})


def two_answers_to_one_command(history: Evidence) -> Evidence:
    return with_facts(history, asked("c0"), set_(acked(history, "c0"), version=7, repeated=True))


def done_twice_in_the_same_words(history: Evidence) -> Evidence:
    return with_facts(history, asked("c0"), set_(acked(history, "c0"), repeated=False))


def a_command_that_lies_there_twice(history: Evidence) -> Evidence:
    return appended(history, event_of(history, "c0"))


def an_event_that_nobody_asked_for(history: Evidence) -> Evidence:
    stranger = appended(history, set_(event_of(history, "c0"), command_id="stranger"))
    last = stranger.events[-1]
    return replace(
        stranger, receipts={**stranger.receipts, ("stock-tea", "stranger"): (last.version, 1, last.position)}
    )


def refused_and_stored(history: Evidence) -> Evidence:
    no = Refused("c0", "stock-tea", "Rejected")
    return facts(history, lambda f: no if isinstance(f, Acked) and f.id == "c0" else f)


def half_of_an_append(history: Evidence) -> Evidence:
    order = event_of(history, "c4").stream
    what = Unknown("c4", order, "the connection was lost")
    changed = facts(history, lambda f: what if isinstance(f, Acked) and f.id == "c4" else f)
    version, _, position = history.receipts[order, "c4"]
    return replace(changed, receipts={**history.receipts, (order, "c4"): (version, 1, position)})


def half_of_an_acknowledged_append(history: Evidence) -> Evidence:
    return facts(history, lambda f: set_(f, sizes=(3,)) if isinstance(f, Asked) and f.id == "c4" else f)


def stored_against_its_expected_version(history: Evidence) -> Evidence:
    return facts(history, lambda f: set_(f, expected_version=7) if isinstance(f, Asked) and f.id == "c0" else f)


def a_gap_in_the_positions(history: Evidence) -> Evidence:
    events = [set_(event, position=event.position + (event.position > 3)) for event in history.events]
    return replace(history, events=events)


def a_gap_in_the_versions(history: Evidence) -> Evidence:
    return replace(history, events=[*history.events[:-1], set_(history.events[-1], version=99)])


def an_event_that_the_reader_missed(history: Evidence) -> Evidence:
    return facts(history, lambda f: set_(f, events=f.events[:-1]) if isinstance(f, Seen) else f)


def an_event_behind_the_cursor(history: Evidence) -> Evidence:
    """The reader had got an empty page up to there."""
    return replace(history, facts=[("reader-9", Seen(0, 5, [])), *history.facts])


def a_cursor_that_jumps(history: Evidence) -> Evidence:
    first = next(fact for _, fact in history.facts if isinstance(fact, Seen))
    return facts(history, lambda f: None if f is first else f)


def a_reader_that_did_not_come_to_the_end(history: Evidence) -> Evidence:
    last = [fact for _, fact in history.facts if isinstance(fact, Seen)][-1]
    return facts(history, lambda f: None if f is last else f)


def a_page_that_came_twice(history: Evidence) -> Evidence:
    return facts(history, lambda f: set_(f, events=[*f.events, *f.events]) if isinstance(f, Seen) else f)


def an_event_that_only_the_reader_saw(history: Evidence) -> Evidence:
    return facts(history, lambda f: set_(f, events=[*f.events, (10**6, "a-b", 1)]) if isinstance(f, Seen) else f)


def rows_of(history: Evidence, name: str, changed: dict[str, Any]) -> Evidence:
    return replace(history, rows={**history.rows, name: changed})


def a_row_that_was_folded_twice(history: Evidence) -> Evidence:
    rows = history.rows["torture_stock"]
    return rows_of(history, "torture_stock", {**rows, "tea": (*rows["tea"][:-2], rows["tea"][-2] + 1, rows["tea"][-1])})


def a_row_in_another_order(history: Evidence) -> Evidence:
    rows = history.rows["torture_demand"]
    return rows_of(history, "torture_demand", {**rows, "pot": (*rows["pot"][:-1], rows["pot"][-1] + 1)})


def a_row_that_is_missing(history: Evidence) -> Evidence:
    rows = {key: row for key, row in history.rows["torture_order"].items() if key != "o1"}
    return rows_of(history, "torture_order", rows)


def a_row_of_nothing(history: Evidence) -> Evidence:
    rows = history.rows["torture_order"]
    return rows_of(history, "torture_order", {**rows, "o9": rows["o1"]})


def parked_of(history: Evidence, name: str, changed: dict[str, int]) -> Evidence:
    return replace(history, parked={**history.parked, name: changed})


def parked_and_forgotten(history: Evidence) -> Evidence:
    return parked_of(history, "torture_order", {})


def parked_for_no_reason(history: Evidence) -> Evidence:
    return parked_of(history, "torture_stock", {"tea": 1})


def parked_at_a_later_event(history: Evidence) -> Evidence:
    parked = {key: position + 1 for key, position in history.parked["torture_order"].items()}
    return parked_of(history, "torture_order", parked)


def a_reactor_that_parked(history: Evidence) -> Evidence:
    return parked_of(history, "fulfilment", {"order-o1": 3})


def a_stale_row(history: Evidence) -> Evidence:
    return with_facts(history, Looked("order-o1", 2, "get", 1))


def a_stale_row_found(history: Evidence) -> Evidence:
    return with_facts(history, Looked("order-o1", 2, "find", 1, parked=2))


def a_parked_row_that_find_kept_quiet_about(history: Evidence) -> Evidence:
    return with_facts(history, Looked("order-o4", 9, "find", 1, parked=0))


def a_correction_that_was_forgotten(history: Evidence) -> Evidence:
    parked = {
        **history.parked["torture_order"],
        "o5": next(e.position for e in history.events if e.stream == "order-o5"),
    }
    return parked_of(history, "torture_order", parked)


def said_to_be_parked(history: Evidence) -> Evidence:
    return with_facts(history, Looked("order-o1", 2, "RowParked"))


def a_token_that_was_refused(history: Evidence) -> Evidence:
    return with_facts(history, Looked("order-o1", 2, "InvalidToken: beyond the end"))


def a_process_that_fell(history: Evidence) -> Evidence:
    return replace(history, complaints=[Violation("fallen", "worker-0 ended by itself")])


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (an_append_that_is_not_there, "lost"),
        (an_append_at_another_place, "lost"),
        (an_empty_decision_without_receipt, "lost"),
        (events_without_a_receipt, "lost"),
        (a_receipt_without_events, "lost"),
        (two_answers_to_one_command, "doubled"),
        (done_twice_in_the_same_words, "doubled"),
        (a_command_that_lies_there_twice, "doubled"),
        (an_event_that_nobody_asked_for, "doubled"),
        (refused_and_stored, "refused"),
        (half_of_an_append, "torn"),
        (half_of_an_acknowledged_append, "torn"),
        (stored_against_its_expected_version, "refused"),
        (a_gap_in_the_positions, "gap"),
        (a_gap_in_the_versions, "gap"),
        (an_event_that_the_reader_missed, "skipped"),
        (an_event_behind_the_cursor, "skipped"),
        (a_cursor_that_jumps, "skipped"),
        (a_reader_that_did_not_come_to_the_end, "skipped"),
        (a_page_that_came_twice, "doubled"),
        (an_event_that_only_the_reader_saw, "lost"),
        (a_row_that_was_folded_twice, "row"),
        (a_row_in_another_order, "row"),
        (a_row_that_is_missing, "row"),
        (a_row_of_nothing, "row"),
        (parked_and_forgotten, "parked"),
        (parked_for_no_reason, "parked"),
        (parked_at_a_later_event, "parked"),
        (a_correction_that_was_forgotten, "parked"),
        (a_reactor_that_parked, "parked"),
        (a_stale_row, "stale"),
        (a_stale_row_found, "stale"),
        (a_parked_row_that_find_kept_quiet_about, "stale"),
        (said_to_be_parked, "stale"),
        (a_token_that_was_refused, "stale"),
        (a_process_that_fell, "fallen"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_planted_is_found(history: Evidence, plant: Callable[[Evidence], Evidence], kind: str) -> None:
    assert kind in {violation.kind for violation in check(plant(history))}


# ---- what follows from events: planted in the log alone


def kinds_of(found: Sequence[Violation]) -> list[str]:
    return [violation.kind for violation in found]


def reservation(history: Evidence) -> Logged:
    return next(event for event in history.events if event.type == "Reserved")


def test_a_reaction_that_is_missing(history: Evidence) -> None:
    """The reply to it then has no cause."""
    gone = reservation(history)
    rest = [event for event in history.events if event is not gone]
    assert kinds_of(list(reactions(rest))) == ["lost", "doubled"]


def test_a_reaction_that_happened_twice(history: Evidence) -> None:
    again = set_(reservation(history), position=10**6, version=10**6, command_id="another")
    assert "doubled" in kinds_of(list(reactions([*history.events, again])))


def test_a_reaction_to_something_else(history: Evidence) -> None:
    wrong = reservation(history)
    data = msgspec.json.encode(replace(read(wrong), quantity=77)).decode()
    changed = [set_(event, data=data) if event is wrong else event for event in history.events]
    assert kinds_of(list(reactions(changed))) == ["lost"]


def test_a_shelf_below_nothing() -> None:
    events = [
        Logged(1, "stock-tea", 1, "Delivered", '{"quantity":1}'),
        Logged(2, "stock-tea", 2, "Reserved", '{"order":"o1","quantity":2}'),
        Logged(3, "stock-tea", 3, "Delivered", '{"quantity":5}'),
    ]
    assert kinds_of(list(shelves(events))) == ["negative"]


# ---- journals of killed processes


def test_half_a_line_was_not_written(tmp_path: Path) -> None:
    whole = msgspec.json.encode(Unknown("a", "stock-tea", "")) + b"\n"
    (tmp_path / "one-0.00001.jsonl").write_bytes(whole + whole[:9])
    journals = Journals(tmp_path)
    assert [fact for _, fact in journals.news()] == [Unknown("a", "stock-tea", "")]
    (tmp_path / "one-0.00001.jsonl").write_bytes(whole + whole)
    assert len(list(journals.news())) == 1
