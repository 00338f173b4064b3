"""Azure Cosmos DB refuses: what the user is told, and that nothing is written elsewhere instead."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from devservers.cosmos.process import running
from tests.backends.cosmos_server import InCosmos, Server, served
from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.backends.cosmos import CosmosLog, copies, layout
from twofold.backends.cosmos.refusals import Conflict, translated
from twofold.backends.memory import MemoryLog
from twofold.errors import ConfigurationError, InvalidInput, LogReplaced, Unavailable
from twofold.messages import BEGINNING, Receipt, Stream
from twofold.operate.copy import copying
from twofold.testing.conformance.copies import silent
from twofold.testing.conformance.material import append, commit, event


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served(1) as one:
        yield one


@pytest.fixture
def place(server: Server, tmp_path: Path) -> InCosmos:
    return InCosmos(server, uuid4().hex, tmp_path)


async def test_g11_a_container_that_is_created_again(place: InCosmos) -> None:
    """Microsoft's client would go on with the new one, where no follower reads what is appended."""
    log = await place.open_log()
    await commit(log, append("note-1", event("a")))
    async with CosmosClient.from_connection_string(place.server.connection_string) as client:
        database = client.get_database_client("tests")
        for name in (place.container, f"{place.container}-twofold"):
            was = await database.get_container_client(name).read()
            await database.delete_container(name)
            again = await database.create_container(
                name,
                was["partitionKey"],
                indexing_policy=was["indexingPolicy"],
                unique_key_policy=was["uniqueKeyPolicy"],
            )
            assert (await again.read())["_rid"] != was["_rid"]
        for stream in ("note-1", "note-2"):
            [outcome] = await commit(log, append(stream, event("b")))
            assert isinstance(outcome, LogReplaced)
            assert "deleted and created again while this program ran: restart it" in str(outcome)
            with pytest.raises(LogReplaced):
                await log.load(Stream.parse(stream))
        new = database.get_container_client(place.container)
        assert [one async for one in new.query_items("SELECT * FROM c", partition_key="2")] == []
    await log.close()


async def test_g11_requests_are_refused_once_the_log_has_another_id(place: InCosmos) -> None:
    """By a process that has not noticed it yet: what it keeps would be for another log."""
    log, other = await place.open_log(), await place.open_log()
    await log.requests.claim("a", b"f")
    await other.new_id()
    with pytest.raises(LogReplaced):
        await log.requests.secret()
    with pytest.raises(LogReplaced):
        await log.requests.claim("b", b"f")
    assert (await other.requests.claim("a", b"g")).fingerprint == b"f"
    await log.close()
    await other.close()


async def test_g11_cuts_of_an_older_copy(place: InCosmos) -> None:
    """Their container was restored to an earlier moment, that of the events was not."""
    log = await place.open_log()
    assert isinstance(log, CosmosLog)
    cuts, key = log.cuts, f"cut-{log.log_id}"
    assert await cuts.add(cuts.newest, (1,))
    assert await cuts.add(cuts.newest, (2,))
    newest = await log._beside.read("newest", key)
    assert newest is not None
    await log._beside.batch([layout.replaced({**newest, "number": 1, "vector": [1]}, newest["_etag"])], key)
    with pytest.raises(LogReplaced, match="no longer holds cut 2 as it was: an older copy replaced it"):
        await cuts.learn()
    await log.close()


async def test_a_document_that_another_has_deleted_is_a_conflict(place: InCosmos) -> None:
    log = await place.open_log()
    assert isinstance(log, CosmosLog)
    gone = {"id": "gone", "key": "gone", "command": "gone"}
    for writing in (log._beside.replace(gone, "etag"), log._beside.batch([layout.replaced(gone, "etag")], "gone")):
        with pytest.raises(Conflict):
            await writing
    await log.close()


async def refusal(store: str) -> str:
    with pytest.raises((ConfigurationError, Unavailable)) as refused:
        await connect(store, Ambient())
    return str(refused.value)


async def test_what_keeps_a_program_from_its_account(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    names = "Database=tests;Container=a"
    wrong = await refusal(f"AccountEndpoint={server.endpoint};AccountKey=a2V5;{names}")
    assert "tests/a: the account refuses the key: correct COSMOS_KEY, or AccountKey in the connection string" in wrong
    assert wrong.count("signature") == 1
    unknown = await refusal(f"AccountEndpoint=https://nowhere.invalid/;AccountKey=a2V5;{names}")
    assert unknown.endswith("this host name cannot be resolved; correct it in the URL")
    monkeypatch.setenv("COSMOS_KEY", "a2V5")
    host = server.endpoint.removeprefix("http://").rstrip("/")
    assert (await refusal(f"cosmos://{host}/tests/a")).endswith("such as that of ./dev cosmos, add ?tls=off")
    with running(tls=True) as secured:
        monkeypatch.setenv("COSMOS_KEY", secured.key)
        log = await connect(secured.url, Ambient())
        await log.close()


def test_a_key_that_may_not_create() -> None:
    """The development server has no such keys."""
    error = CosmosHttpResponseError(403, "Request blocked by your firewall")
    assert str(translated(error, "https://a/ shop/orders")) == (
        "https://a/ shop/orders: the account does not allow this (Status code: 403 Request blocked by your firewall): "
        "use a key that may read and write, and create the database and its containers if they are missing; or let "
        "the account's firewall admit this machine"
    )


@pytest.mark.parametrize(
    ("sub_status", "error", "said"),
    [
        (1002, Unavailable, "no replica has seen this process's last writes yet"),
        (0, ConfigurationError, "this database or container does not exist"),
    ],
)
def test_a_replica_that_lags_is_not_a_container_that_is_missing(
    sub_status: int, error: type[Exception], said: str
) -> None:
    refused = CosmosHttpResponseError(404, "Not found")
    refused.sub_status = sub_status
    found = translated(refused, "shop/orders")
    assert type(found) is error
    assert said in str(found)


async def test_a_copy_that_meets_an_append_between_its_look_and_its_write(
    place: InCosmos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was appended is not taken for what was to be copied, although it is as long."""
    original, log, other = MemoryLog(), await place.open_log(), await place.open_log()
    await commit(original, append("note-1", event("copied")))
    copy = await copying(original, log)
    await copy.imported.begin(original.log_id, [BEGINNING])
    settled = copies.settled

    async def settled_late(*asked: Any) -> Any:
        monkeypatch.setattr(copies, "settled", settled)
        [receipt] = await commit(other, append("note-1", event("own")))
        assert isinstance(receipt, Receipt)
        return await settled(*asked)

    monkeypatch.setattr(copies, "settled", settled_late)
    with pytest.raises(InvalidInput, match="note-1 is at version 1: something was appended to it since it was copied"):
        await copy.run(silent)
    await log.close()
    await other.close()
