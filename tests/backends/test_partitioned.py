"""A log of several partitions keeps every promise, over each kind of parts, and so does one of a single part."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from twofold.testing.conformance import Backend, InParts, InPartsAt, PartitionedConformance
from twofold.testing.conformance.apps import AppConformance
from twofold.testing.conformance.checkpoints import CheckpointConformance
from twofold.testing.conformance.commits import CommitConformance
from twofold.testing.conformance.deploy import DeployConformance
from twofold.testing.conformance.feed import FeedConformance
from twofold.testing.conformance.follow import FollowConformance
from twofold.testing.conformance.limits import LimitConformance
from twofold.testing.conformance.log import LogConformance
from twofold.testing.conformance.parking import ParkingConformance
from twofold.testing.conformance.proof import ProofConformance
from twofold.testing.conformance.rebuild import RebuildConformance
from twofold.testing.conformance.requests import RequestConformance
from twofold.testing.conformance.waiting import WaitingConformance
from twofold.testing.conformance.watch import WatchConformance


class TestOfMemory(PartitionedConformance):
    @pytest.fixture
    def new_backend(self) -> Callable[[], Backend]:
        return lambda: InParts(4)


class FollowedConformance(
    ProofConformance,
    ParkingConformance,
    RebuildConformance,
    DeployConformance,
    WaitingConformance,
    WatchConformance,
    AppConformance,
    FollowConformance,
    CheckpointConformance,
    FeedConformance,
    CommitConformance,
    RequestConformance,
    LimitConformance,
    LogConformance,
):
    """What the log and its feeds have a part in."""


@pytest.mark.slow
class TestOfSqlite(FollowedConformance):
    @pytest.fixture
    def new_backend(self, tmp_path: Path) -> Callable[[], Backend]:
        number = count()
        return lambda: InPartsAt(tmp_path / str(next(number)), 4)


@pytest.mark.slow
class TestOfOnePart(
    AppConformance, DeployConformance, WaitingConformance, WatchConformance, FeedConformance, LogConformance
):
    @pytest.fixture
    def new_backend(self) -> Callable[[], Backend]:
        return lambda: InParts(1)
