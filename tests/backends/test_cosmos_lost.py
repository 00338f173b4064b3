"""Azure Cosmos DB, and responses that never come: what may have been stored is never said not to be (G3)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest

from tests.backends.cosmos_server import InCosmos, Server, served
from twofold.backends.cosmos import settling
from twofold.backends.memory import MemoryLog
from twofold.errors import OutcomeUnknown, Unavailable
from twofold.messages import BEGINNING, Receipt, Stream
from twofold.operate.copy import copying
from twofold.testing.conformance.copies import filled, same, silent
from twofold.testing.conformance.material import append, commit, event
from twofold.write.copies import Copied

Fate = Literal["lost", "passed on", "denied"]
DENIED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Wire:
    """Between a client and a server: it decides what becomes of the responses to batches, and is then cut."""

    def __init__(self, port: int, fates: Sequence[Fate]) -> None:
        self._port, self._fates, self.all_passes = port, list(fates), True
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> int:
        """Returns the port to connect to."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, there[1]]
        while asked := await reader.read(1 << 20):
            there[1].write(asked)
            response = await there[0].read(1 << 20)
            decides = b"x-ms-cosmos-is-batch-request" in asked.lower() and not self.all_passes
            fate = self._fates.pop(0) if decides else "passed on"
            if fate == "lost":
                writer.close()
            else:
                writer.write(DENIED if fate == "denied" else response)
                await writer.drain()
            if decides and not self._fates:
                self.cut()

    def cut(self) -> None:
        """From now on nobody can connect."""
        self._server.close()
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def wired(place: InCosmos, fates: Sequence[Fate]) -> AsyncIterator[tuple[Wire, InCosmos]]:
    port = urlsplit(place.server.endpoint).port
    assert port is not None
    wire = Wire(port, fates)
    through = place.server.connection_string.replace(f":{port}/", f":{await wire.open()}/")
    yield wire, InCosmos(Server(through), place.container, Path())
    wire.cut()


@pytest.mark.parametrize(
    ("events", "fates"),
    [(1, ["lost"]), (1, ["lost", "passed on"]), (1, ["lost", "denied"]), (0, ["lost"]), (0, ["passed on"])],
    ids=["no response", "no look after it", "no key any more", "no response to a receipt", "no position of a receipt"],
)
async def test_g3_an_append_that_may_be_stored(
    events: int, fates: Sequence[Fate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is gone before anybody could tell. The command sent again gets the stored answer."""
    monkeypatch.setattr(settling, "PATIENCE_S", 1.0)
    asked = append("note-1", *map(event, range(events)), command_id="once")
    with served(1) as server:
        place = InCosmos(server, "lost", tmp_path)
        async with wired(place, fates) as (wire, through):
            log = await through.open_log()
            await commit(log, append("note-1", event("before")))
            wire.all_passes = False
            [outcome] = await commit(log, asked)
            assert isinstance(outcome, OutcomeUnknown)
            await log.close()
        log = await place.open_log()
        [outcome] = await commit(log, asked)
        assert isinstance(outcome, Receipt)
        assert (outcome.version, outcome.events, outcome.repeated) == (1 + events, events, True)
        await log.close()


async def test_a_page_that_was_copied_before_the_place_could_be_kept_is_copied_once(tmp_path: Path) -> None:
    """No transaction spans what is copied and how far that goes: the next run finds some of the page there already."""
    original = await filled(MemoryLog())
    with served(1) as server:
        place = InCosmos(server, "copied", tmp_path)
        async with wired(place, ["passed on"] * 3) as (wire, through):
            log = await through.open_log()
            copy = await copying(original, log)
            await copy.imported.begin(original.log_id, [BEGINNING])
            wire.all_passes = False  # and cuts after three batches
            with pytest.raises((Unavailable, BaseExceptionGroup)):
                await copy.run(silent)
            await log.close()
        log = await place.open_log()
        assert await log.importing.copied() == Copied(original.log_id, [BEGINNING], False)
        await (await copying(original, log)).run(silent)
        await same(original, log)
        await log.close()


async def test_g3_an_append_that_was_not_sent_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can connect any more, so the caller learns that nothing has changed, and may send it as a new command."""
    monkeypatch.setattr(settling, "PATIENCE_S", 1.0)
    with served(1) as server:
        async with wired(InCosmos(server, "unsent", tmp_path), []) as (wire, through):
            log = await through.open_log()
            await commit(log, append("note-1", event("before")))
            wire.cut()
            with pytest.raises(Unavailable):  # after it no connection is left in the client
                await log.read_stream(Stream("note", "1"), 1, 10)
            [outcome] = await commit(log, append("note-1", event("a"), command_id="once"))
            assert isinstance(outcome, Unavailable), outcome
            await log.close()
