"""The suite that every backend must pass. A backend's test file says how to open it and inherits the rest:

    class TestSqlite(BackendConformance):
        @pytest.fixture
        def new_backend(self, tmp_path: Path) -> Callable[[], Backend]:
            number = count()
            return lambda: StoreAt(f"sqlite:///{tmp_path}/{next(number)}.db")

Needs pytest, pytest-asyncio in its mode `auto`, and hypothesis.
"""

import pytest

_PARTS = (
    "apps",
    "catching_up",
    "checkpoints",
    "commits",
    "copies",
    "dense",
    "deploy",
    "faithful",
    "feed",
    "follow",
    "formats",
    "generations",
    "limits",
    "log",
    "machine",
    "meetings",
    "owners",
    "parking",
    "proof",
    "queries",
    "rebuild",
    "requests",
    "rollups",
    "rows",
    "usercode",
    "values",
    "views",
    "waiting",
    "watch",
)
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from twofold.testing.conformance.apps import AppConformance  # noqa: E402 (asserts are rewritten as they are imported)
from twofold.testing.conformance.backend import Backend, InMemory, InParts, InPartsAt, StoreAt  # noqa: E402
from twofold.testing.conformance.catching_up import CatchUpConformance  # noqa: E402
from twofold.testing.conformance.checkpoints import CheckpointConformance  # noqa: E402
from twofold.testing.conformance.commits import CommitConformance  # noqa: E402
from twofold.testing.conformance.copies import CopyConformance  # noqa: E402
from twofold.testing.conformance.dense import DenseConformance  # noqa: E402
from twofold.testing.conformance.deploy import DeployConformance  # noqa: E402
from twofold.testing.conformance.faithful import FaithfulConformance  # noqa: E402
from twofold.testing.conformance.feed import FeedConformance  # noqa: E402
from twofold.testing.conformance.follow import FollowConformance  # noqa: E402
from twofold.testing.conformance.formats import FormatConformance  # noqa: E402
from twofold.testing.conformance.generations import GenerationConformance  # noqa: E402
from twofold.testing.conformance.limits import LimitConformance  # noqa: E402
from twofold.testing.conformance.log import LogConformance  # noqa: E402
from twofold.testing.conformance.machine import MachineConformance  # noqa: E402
from twofold.testing.conformance.meetings import MeetingConformance  # noqa: E402
from twofold.testing.conformance.owners import OwnerConformance  # noqa: E402
from twofold.testing.conformance.pages import PageConformance  # noqa: E402
from twofold.testing.conformance.parking import ParkingConformance  # noqa: E402
from twofold.testing.conformance.proof import ProofConformance  # noqa: E402
from twofold.testing.conformance.queries import QueryConformance, RefusalConformance  # noqa: E402
from twofold.testing.conformance.rebuild import RebuildConformance  # noqa: E402
from twofold.testing.conformance.requests import RequestConformance  # noqa: E402
from twofold.testing.conformance.rollups import RollupConformance  # noqa: E402
from twofold.testing.conformance.rows import RowConformance  # noqa: E402
from twofold.testing.conformance.usercode import UserCodeConformance  # noqa: E402
from twofold.testing.conformance.values import ValueConformance  # noqa: E402
from twofold.testing.conformance.views import ViewConformance  # noqa: E402
from twofold.testing.conformance.waiting import WaitingConformance  # noqa: E402
from twofold.testing.conformance.watch import WatchConformance  # noqa: E402

__all__ = [
    "Backend",
    "BackendConformance",
    "InMemory",
    "InParts",
    "InPartsAt",
    "PartitionedConformance",
    "StoreAt",
]


class PartitionedConformance(
    ProofConformance,
    MeetingConformance,
    ParkingConformance,
    RebuildConformance,
    RollupConformance,
    UserCodeConformance,
    DeployConformance,
    OwnerConformance,
    WaitingConformance,
    ViewConformance,
    WatchConformance,
    AppConformance,
    CatchUpConformance,
    FollowConformance,
    QueryConformance,
    RefusalConformance,
    FaithfulConformance,
    PageConformance,
    FormatConformance,
    ValueConformance,
    GenerationConformance,
    RowConformance,
    CheckpointConformance,
    FeedConformance,
    CommitConformance,
    RequestConformance,
    CopyConformance,
    LimitConformance,
    LogConformance,
):
    """Every promise that needs no crash, on one backend whose log has any number of partitions.

    Pytest begins with the last base: quick ones first.
    """


class BackendConformance(MachineConformance, PartitionedConformance, DenseConformance):
    """The same of a log with one partition, and call by call it returns what the one in memory returns."""
