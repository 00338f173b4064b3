"""The rule that says which projection a checkpoint belongs to."""

import pytest

from twofold.belonging import agreed
from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import Ownership

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
