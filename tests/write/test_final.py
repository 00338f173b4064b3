"""What is certain about an append that was sent twice, because the answer to the first request was lost."""

import pytest

from twofold.errors import InvalidEvent, OutcomeUnknown, TwofoldError, VersionConflict
from twofold.messages import BEGINNING, Receipt, Stream
from twofold.testing.conformance.material import append, event
from twofold.write.log import final

STREAM = Stream("note", "1")
RECEIPT = Receipt(STREAM, 1, 1, BEGINNING, "once", "0123456789abcdef")


@pytest.mark.parametrize("doubt", [None, "the connection was lost"])
@pytest.mark.parametrize(
    ("outcome", "may_come_true"),
    [
        (RECEIPT, False),
        (InvalidEvent("too large"), False),
        (VersionConflict(STREAM, 0, 1), False),
        (VersionConflict(STREAM, 2, 3), False),
        (VersionConflict(STREAM, 1, 0), True),
        (VersionConflict(STREAM, 7, 3), True),
    ],
    ids=str,
)
def test_g1_only_what_cannot_come_true_any_more_is_said_to_have_failed(
    outcome: Receipt | TwofoldError, may_come_true: bool, doubt: str | None
) -> None:
    """A stream may still reach a later version than it has, and then the first request is stored."""
    found = final(outcome, append("note-1", event(), command_id="once"), doubt)
    if doubt is not None and may_come_true:
        assert isinstance(found, OutcomeUnknown)
        assert (found.command_id, doubt in str(found)) == ("once", True)
    else:
        assert found is outcome
