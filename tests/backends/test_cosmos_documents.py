"""What others find in the container: the newest state of a document, under its id where there is one category."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.cosmos.aio import CosmosClient

from tests.backends.cosmos_server import InCosmos, Server, served
from twofold import App, Decider
from twofold.ambient import Ambient
from twofold.backends.cosmos import CosmosLog, address, client, layout, places, transport
from twofold.backends.cosmos.changes import Changes
from twofold.backends.cosmos.client import Container
from twofold.backends.cosmos.poll import POLL_S
from twofold.backends.cosmos.refusals import Conflict
from twofold.backends.cosmos.transport import Transport
from twofold.backends.memory import MemoryReadStore
from twofold.errors import ConfigurationError, InvalidInput
from twofold.feed.partitions import feeds
from twofold.messages import Position, Receipt, Stream
from twofold.testing.conformance.material import append, commit, event, value


@dataclass(frozen=True)
class Rename:
    name: str


@dataclass(frozen=True)
class Customer:
    name: str = ""
    renamed: int = 0


def decide(command: Rename, customer: Customer) -> list[Rename]:
    return [command]


def evolve(customer: Customer, event: Rename) -> Customer:
    return replace(customer, name=event.name, renamed=customer.renamed + 1)


customers = Decider("customer", Customer(), decide, evolve, stored="state")
crm = App("crm", deciders=[customers])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served(1) as running:
        yield running


@pytest.fixture
def place(server: Server, tmp_path: Path) -> InCosmos:
    return InCosmos(server, uuid4().hex, tmp_path)


async def documents(place: InCosmos, key: str) -> dict[str, dict[str, object]]:
    """The documents of a partition key, by id, as Microsoft's client reads them."""
    async with CosmosClient.from_connection_string(place.server.connection_string) as client:
        container = client.get_database_client("tests").get_container_client(place.container)
        return {one["id"]: one async for one in container.query_items("SELECT * FROM c", partition_key=key)}


@pytest.mark.parametrize(("option", "id_"), [("", "customer"), (";Category=customer", "ann")])
async def test_the_head_of_a_document_is_its_newest_state(place: InCosmos, option: str, id_: str) -> None:
    """With its version and schema version; the history is in the commits beside it."""
    async with crm.open(place.url + option, read_store=MemoryReadStore()) as running:
        for name in ("Ann", "Anna"):
            await running.execute(customers, "ann", Rename(name))
        found = await documents(place, "ann")
        assert set(found) == {"customer@1", "customer@2", id_}
        head = found[id_]
        assert (head["kind"], head["version"], head["type"], head["schema"]) == ("head", 2, "Customer", 1)
        assert head["state"] == {"name": "Anna", "renamed": 2}
        assert await running.load(customers, "ann") == (Customer("Anna", 2), 2)
        assert [one.event.name for one in await running.history("customer-ann")] == ["Ann", "Anna"]


async def test_a_container_of_one_category_takes_no_other(place: InCosmos) -> None:
    """Nor is an existing one made such a container; ids that the service does not take are stored all the same."""
    log = CosmosLog(address(f"{place.url};Category=note"))
    await log.open()
    [refused] = await commit(log, append("memo-1", event()))
    assert isinstance(refused, InvalidInput)
    assert "created for streams of the category note alone" in str(refused)
    for id_ in ("a/b", "note@1", "ends with a space ", "plain"):
        for version in range(2):
            [receipt] = await commit(log, append(f"note-{id_}", event(), expected=version))
            assert getattr(receipt, "version", receipt) == version + 1
    await log.close()
    again = await place.open_log()
    [refused] = await commit(again, append("memo-1", event()))
    assert isinstance(refused, InvalidInput)
    await again.close()
    other = CosmosLog(address(f"{place.url};Category=memo"))
    with pytest.raises(ConfigurationError, match="not created with category=memo but with note: leave the option out"):
        await other.open()
    await other.close()


async def test_g4_times_do_not_go_back_with_the_clock(place: InCosmos) -> None:
    """Neither of a process that has just written, which knows the stream, nor of another one, which reads it."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    times = [now[0] + timedelta(milliseconds=ms) for ms in (900, 100, 500, 700, 1_500)]
    one, other = (CosmosLog(address(place.url), Ambient(now=lambda: now[0])) for _ in range(2))
    for log in (one, other):
        await log.open()
    for log, now[0] in zip((one, one, one, other, one), times, strict=True):
        [receipt] = await commit(log, append("note-1", event()))
        assert isinstance(receipt, Receipt)
    for log in (one, other):
        recorded = [entry.recorded_at for entry in await log.read_stream(Stream("note", "1"), 1, 10)]
        assert recorded == [times[0]] * 4 + [times[4]]
        await log.close()


async def test_documents_of_the_change_feed_say_where_they_are(place: InCosmos) -> None:
    """As another reader of the feed gets them, twice and in any order; other documents are left out."""
    log = CosmosLog(address(place.url))
    await log.open()
    await commit(log, append("note-1", event(1), event(2)), append("note-2", event(3)), append("memo-1"))
    await commit(log, append("note-1", event(4)))
    async with CosmosClient.from_connection_string(place.server.connection_string) as client:
        container = client.get_database_client("tests").get_container_client(place.container)
        found = [one async for one in container.query_items_change_feed(start_time="Beginning")]
    [partition] = log.parts
    expected = (await log.parts[partition].read(Position(partition, 0), 100)).entries
    assert len(expected) == 4
    assert log.entries([*reversed(found), *found]) == expected
    assert log.entries(one for one in found if one["kind"] != "commit") == []
    await log.close()


async def test_processes_that_create_a_container_at_once(place: InCosmos) -> None:
    """One of them does, and the others open it: also the database, when it is the first container."""
    url = place.url.replace("Database=tests", f"Database={uuid4().hex}")
    logs = [CosmosLog(address(url)) for _ in range(6)]
    await asyncio.gather(*(log.open() for log in logs))
    assert len({log.log_id for log in logs}) == 1
    await asyncio.gather(*(log.close() for log in logs))


async def test_only_what_is_new_of_a_stream_is_read(place: InCosmos, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each command on a stream that others write to would cost as much as the stream is long."""
    read: list[int] = []
    changes_of = Container.changes_of

    async def counted(self: Container, key: str, lsn: int = 0) -> list[dict[str, object]]:
        found = await changes_of(self, key, lsn)
        read.append(len(found))
        return found

    monkeypatch.setattr(Container, "changes_of", counted)
    stream = Stream("note", "1")
    log, other = await place.open_log(), await place.open_log()
    await commit(log, *(append("note-1", event(n)) for n in range(40)))
    first = await other.load(stream)
    await commit(log, append("note-1", event("a"), event("b"), command_id="once"), append("note-1", event("c")))
    loaded = await other.load(stream, after=first.version)
    assert ([value(one) for one in loaded.events], loaded.version) == (["a", "b", "c"], 43)
    again = await other.load(stream, after=41)
    assert [value(one) for one in again.events] == ["b", "c"]
    assert read == [41, 3, 43]  # commits, and the head; nothing is known of the place of version 41
    known = await other.load(stream, "once", after=43)
    whole = await log.load(stream, "once")
    assert known.receipt is not None
    assert known.receipt == whole.receipt
    assert known.receipt.version == 42
    await log.close()
    await other.close()


@pytest.mark.parametrize("appends", [3, 4, 5, 6, 11])
async def test_a_stream_is_read_in_as_many_pages_as_it_takes(
    place: InCosmos, monkeypatch: pytest.MonkeyPatch, appends: int
) -> None:
    """With the head, which is the last of its documents; other streams of its id come in between."""
    monkeypatch.setattr(client, "MOST_OF_KEY", 3)
    log, other = await place.open_log(), await place.open_log()
    for n in range(appends):
        await commit(log, append("note-1", event(n), command_id=f"{n}"), append("memo-1", event("other")))
    stream = Stream("note", "1")
    for after in range(appends):
        loaded = await other.load(stream, after=after)
        assert ([value(one) for one in loaded.events], loaded.version) == (list(range(after, appends)), appends)
    entries = await other.read_stream(stream, 1, 100)
    assert [entry.version for entry in entries] == list(range(1, appends + 1))
    for n, entry in enumerate(entries):
        [receipt] = await commit(other, append("note-1", event("again"), command_id=f"{n}"))
        assert isinstance(receipt, Receipt)
        assert (receipt.version, receipt.position, receipt.repeated) == (n + 1, entry.position, True)
    for each in (log, other):
        await each.close()


async def test_who_waits_at_the_head_looks_no_more_often_than_it_must(
    place: InCosmos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until this process writes, which it hears at once."""
    log = await place.open_log()
    await commit(log, append("note-1", event()))
    [feed] = feeds(log).values()
    looks, changes = list[int](), Container.changes

    async def counted(self: Container, *args: Any) -> Changes:
        looks.append(1)
        return await changes(self, *args)

    monkeypatch.setattr(Container, "changes", counted)
    head = await feed.head()
    began = asyncio.get_running_loop().time()
    await feed.wait(head, 2 * POLL_S)
    assert asyncio.get_running_loop().time() - began >= 2 * POLL_S
    assert len(looks) <= 4
    waiting = asyncio.create_task(feed.wait(head, 60))
    await asyncio.sleep(0)
    await commit(log, append("note-1", event()))
    await asyncio.wait_for(waiting, 30)
    await log.close()


async def test_a_batch_that_is_sent_again_depends_on_the_same_etags(place: InCosmos) -> None:
    """The SDK empties what it is given; without its condition a replacement would overwrite what others wrote."""
    log = await place.open_log()
    assert isinstance(log, CosmosLog)
    head = {"id": "head", "key": "1", "command": "none"}
    written = await log._data.batch([layout.created(head)], "1")
    replacement = [layout.replaced(head, written.etags[0])]
    await log._data.batch(replacement, "1")
    with pytest.raises(Conflict):
        await log._data.batch(replacement, "1")
    await log.close()


async def test_who_has_read_the_feed_reads_nothing_older(place: InCosmos, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a reactor could load a stream from a replica that does not have the event it reacts to."""
    sessions: list[str] = []
    send = Transport.send

    async def noted(self: Transport, request: Any, **config: Any) -> Any:
        sessions.append(request.headers.get("x-ms-session-token", ""))
        return await send(self, request, **config)

    log, other = await place.open_log(), await place.open_log()
    for n in range(3):
        [receipt] = await commit(log, append("note-1", event(n)))
    assert isinstance(receipt, Receipt)
    monkeypatch.setattr(Transport, "send", noted)
    [part] = other.parts.values()
    page = await part.read(Position(part.partition, 0), 10)
    await other.load(Stream("note", "1"))
    assert page.upto >= receipt.position
    assert f"#{places.lsn_of(receipt.position.offset)}" in sessions[-1]
    await log.close()
    await other.close()


async def test_a_version_of_the_sdk_that_reads_the_feed_in_another_way_is_refused(
    place: InCosmos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Better than to skip what it has parsed."""
    log = await place.open_log()
    await commit(log, append("note-1", event(1)))
    monkeypatch.setattr(transport, "_keep_page", lambda request, response: response)
    [part] = log.parts.values()
    with pytest.raises(ConfigurationError, match=r"azure-cosmos \d.*install the version that the extra `azure`"):
        await part.read(Position(part.partition, 0), 10)
    await log.close()


async def test_a_container_whose_name_is_not_plain(server: Server, tmp_path: Path) -> None:
    log = await InCosmos(server, f"the orders, 100% – é {uuid4().hex}", tmp_path).open_log()
    for n in range(2):
        [outcome] = await commit(log, append("note-1", event(n)))
        assert isinstance(outcome, Receipt)
        assert outcome.version == n + 1
    assert [value(one) for one in (await log.load(Stream("note", "1"))).events] == [0, 1]
    await log.close()
