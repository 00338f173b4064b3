"""Azure Cosmos DB keeps every promise but those that docs/guarantees.md leaves out, with one feed range and three.

With COSMOS_ENDPOINT and COSMOS_KEY in the environment it runs on that account, in the database `tests`.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import socket
from uuid import uuid4

import pytest

from tests.backends.cosmos_server import InCosmos, Server, account, served
from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.backends.ports import LogStore
from twofold.errors import Unavailable
from twofold.messages import Stream
from twofold.testing.conformance import Backend
from twofold.testing.conformance.apps import AppConformance
from twofold.testing.conformance.catching_up import CatchUpConformance
from twofold.testing.conformance.checkpoints import CheckpointConformance
from twofold.testing.conformance.commits import CommitConformance
from twofold.testing.conformance.copies import CopyConformance
from twofold.testing.conformance.deploy import DeployConformance
from twofold.testing.conformance.faithful import FaithfulConformance
from twofold.testing.conformance.feed import FeedConformance
from twofold.testing.conformance.follow import FollowConformance
from twofold.testing.conformance.generations import GenerationConformance
from twofold.testing.conformance.limits import LimitConformance
from twofold.testing.conformance.log import LogConformance
from twofold.testing.conformance.material import append, event
from twofold.testing.conformance.meetings import MeetingConformance
from twofold.testing.conformance.owners import OwnerConformance
from twofold.testing.conformance.parking import ParkingConformance
from twofold.testing.conformance.proof import ProofConformance
from twofold.testing.conformance.queries import QueryConformance
from twofold.testing.conformance.rebuild import RebuildConformance
from twofold.testing.conformance.requests import RequestConformance
from twofold.testing.conformance.rollups import RollupConformance
from twofold.testing.conformance.usercode import UserCodeConformance
from twofold.testing.conformance.waiting import WaitingConformance
from twofold.testing.conformance.watch import WatchConformance

IS_REAL = account() is not None  # nobody can order a split there


@pytest.fixture(scope="session")
def server_of_one() -> Iterator[Server]:
    with account() or served(1) as server:
        yield server


@pytest.fixture(scope="session")
def server_of_three() -> Iterator[Server]:
    with account() or served(3) as server:
        yield server


class CosmosConformance(
    ProofConformance,
    MeetingConformance,
    ParkingConformance,
    RebuildConformance,
    RollupConformance,
    UserCodeConformance,
    DeployConformance,
    OwnerConformance,
    WaitingConformance,
    WatchConformance,
    AppConformance,
    CatchUpConformance,
    FollowConformance,
    QueryConformance,
    FaithfulConformance,
    GenerationConformance,
    CheckpointConformance,
    FeedConformance,
    CommitConformance,
    RequestConformance,
    CopyConformance,
    LimitConformance,
    LogConformance,
):
    """What the log and its feeds have a part in.

    The others are not inherited, for these reasons:

    - Rows alone (Refusal, Page, Format, Value, Row, and View, which is SQL): the read store is SQLite's own, in whose
      tests they are.
    - Dense: places are LSNs here, which are not numbered 1, 2, 3, ….
    - Machine: it compares positions and heads with those of memory, call by call, and these are the cuts' here.
    """

    async def test_times_do_not_go_back_whoever_appends(self, log: LogStore, other_log: LogStore) -> None:
        """Within a stream. Between streams each process has its clock, and nobody orders their requests."""
        batches = [[append(f"note-{n % 5}", *(event(k) for k in range(1 + n % 3)))] for n in range(30)]
        await asyncio.gather(*((log, other_log)[n % 2].commit(batch) for n, batch in enumerate(batches)))
        for n in range(5):
            times = [entry.recorded_at for entry in await log.read_stream(Stream("note", str(n)), 1, 100)]
            assert times == sorted(times)
            assert len(times) == sum(1 + m % 3 for m in range(30) if m % 5 == n)


class TestBesideTheFeed(CheckpointConformance, RequestConformance):
    @pytest.fixture
    def new_backend(self, server_of_one: Server, tmp_path: Path) -> Callable[[], Backend]:
        return lambda: InCosmos(server_of_one, uuid4().hex, tmp_path)


@pytest.mark.slow
class TestOfOneRange(
    AppConformance,
    FollowConformance,
    FeedConformance,
    CommitConformance,
    CopyConformance,
    LimitConformance,
):
    @pytest.fixture
    def new_backend(self, server_of_one: Server, tmp_path: Path) -> Callable[[], Backend]:
        return lambda: InCosmos(server_of_one, uuid4().hex, tmp_path, splits=not IS_REAL)


@pytest.mark.slow
class TestOfThreeRanges(CosmosConformance):
    @pytest.fixture
    def new_backend(self, server_of_three: Server, tmp_path: Path) -> Callable[[], Backend]:
        return lambda: InCosmos(server_of_three, uuid4().hex, tmp_path, splits=not IS_REAL)


async def test_a_server_that_is_not_there() -> None:
    """Also for a worker that starts while the service is away: it waits, and does not end by an error of the SDK."""
    with socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        where = f"AccountEndpoint=http://127.0.0.1:{taken.getsockname()[1]}/;AccountKey=a2V5;Database=shop;Container=a"
        with pytest.raises(Unavailable, match="no server is listening there"):
            await connect(where, Ambient())
