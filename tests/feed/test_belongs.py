"""The rule that says which projection a checkpoint belongs to."""

import pytest

from twofold.errors import ConfigurationError
from twofold.feed.belongs import agreed
from twofold.feed.checkpoints import Belongs

KEPT = Belongs("ours", "older", ("Deposited",))


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
    mine = Belongs(name, formerly, KEPT.events)
    if kept:
        assert agreed("it", KEPT, mine, same_events=True) == (KEPT if name == "older" else mine)
    else:
        with pytest.raises(ConfigurationError, match="'ours'"):
            agreed("it", KEPT, mine, same_events=True)


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (("Closed", "Deposited"), "follows Closed beside what its table was built with"),
        ((), "follows no Deposited, unlike what its table was built with"),
        (("Closed",), "follows Closed beside and no Deposited, unlike what its table was built with"),
    ],
)
def test_other_events_are_named(events: tuple[str, ...], says: str) -> None:
    mine = Belongs("ours", None, events)
    with pytest.raises(ConfigurationError, match=says):
        agreed("it", KEPT, mine, same_events=True)
    assert agreed("it", KEPT, mine, same_events=False) == mine


def test_what_is_nobodys_belongs_to_the_first() -> None:
    assert agreed("it", None, KEPT, same_events=True) == KEPT
