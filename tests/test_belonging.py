"""The rule that says which projection a checkpoint belongs to."""

import pytest

from twofold.backends.memory import MemoryCheckpoints
from twofold.belonging import TRIES, agreed, assign
from twofold.errors import ConfigurationError, Contended
from twofold.feed.checkpoints import FollowerId, Ownership
from twofold.messages import BEGINNING

KEPT = Ownership("ours", "older", ("Deposited",))


@pytest.mark.parametrize(
    ("name", "formerly", "kept"),
    [
        ("ours", "older", True),
        ("ours", None, True),
        ("older", None, True),
        ("newer", "ours", True),
        ("theirs", None, False),
        ("theirs", "older", False),  # it was already renamed to another name
        ("theirs", "theirs before", False),
    ],
)
def test_an_app_and_its_former_name_get_it_and_nobody_else(name: str, formerly: str | None, kept: bool) -> None:
    mine = Ownership(name, formerly, KEPT.events)
    if kept:
        assert agreed("it", KEPT, mine, same_events=True) == (KEPT if name == "older" else mine)
    else:
        with pytest.raises(ConfigurationError, match="'ours'"):
            agreed("it", KEPT, mine, same_events=True)


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (("Closed", "Deposited"), r"follows other events than its table was built with \(added: Closed\)"),
        ((), r"built with \(removed: Deposited\)"),
        (("Closed",), r"built with \(added: Closed; removed: Deposited\)"),
    ],
)
def test_other_events_are_named(events: tuple[str, ...], says: str) -> None:
    mine = Ownership("ours", None, events)
    with pytest.raises(ConfigurationError, match=says):
        agreed("it", KEPT, mine, same_events=True)
    assert agreed("it", KEPT, mine, same_events=False) == mine


def test_what_is_nobodys_belongs_to_the_first() -> None:
    assert agreed("it", None, KEPT, same_events=True) == KEPT


ONE = FollowerId("one")


class Overtaken(MemoryCheckpoints):
    """Each time an owner is to be stored, another process stores the next of these first."""

    def __init__(self, *others: Ownership) -> None:
        super().__init__()
        self.others = list(others)

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        if self.others:
            self.owners[follower] = self.others.pop(0)
        return await super().assign(follower, seen, now)


@pytest.mark.parametrize(
    "others",
    [
        [KEPT],
        [Ownership("older", None, KEPT.events)],
        [Ownership("older", None, KEPT.events), Ownership("ours", None, KEPT.events)],
        [Ownership("older", None, KEPT.events)] * (TRIES - 1),
    ],
    ids=["the same", "the former one", "one after the other", "as often as it is tried, but once"],
)
async def test_two_processes_of_one_app_that_are_opened_at_once_both_get_it(others: list[Ownership]) -> None:
    checkpoints = Overtaken(*others)
    await checkpoints.register(ONE, "log", BEGINNING)
    await assign(checkpoints, "it", ONE, KEPT, same_events=True)
    assert await checkpoints.ownership(ONE) == KEPT


async def test_of_two_apps_that_are_opened_at_once_the_later_one_is_told_whose_it_is() -> None:
    checkpoints = Overtaken(Ownership("theirs", None, KEPT.events))
    await checkpoints.register(ONE, "log", BEGINNING)
    with pytest.raises(ConfigurationError, match="'theirs'"):
        await assign(checkpoints, "it", ONE, KEPT, same_events=True)


async def test_who_is_overtaken_at_each_try_may_try_again() -> None:
    former = [Ownership("older", str(n), KEPT.events) for n in range(TRIES)]
    checkpoints = Overtaken(*former)
    await checkpoints.register(ONE, "log", BEGINNING)
    with pytest.raises(Contended, match="try again"):
        await assign(checkpoints, "it", ONE, KEPT, same_events=True)
