"""What is answered when a command fails."""

import pytest

from orders.answers import Asked, refused
from twofold import InvalidInput, OutcomeUnknown, Rejected, TwofoldError, Unavailable, VersionConflict
from twofold.errors import LogReplaced
from twofold.messages import Stream

ORDER = Stream("order", "o-1")


@pytest.mark.parametrize(
    ("error", "expected", "status"),
    [
        (Rejected("Cannot submit an empty order"), None, 422),
        (Rejected("There is no such order", code="unknown-order"), None, 404),
        (Rejected("There is another", code="order-exists"), None, 409),
        (VersionConflict(ORDER, 7, 9), 7, 412),
        (VersionConflict(ORDER, 7, 0), 7, 404),
        (VersionConflict(ORDER, 8, 9), None, 409),  # decided again and again, and others were faster each time
        (InvalidInput("no"), None, 422),
        (Unavailable("the key is abc"), None, 503),
        (OutcomeUnknown("create-1", "the key is abc"), None, 503),
    ],
)
def test_the_status_of_an_error(error: TwofoldError, expected: int | None, status: int) -> None:
    answer = refused(error, Asked("test", expected))
    assert answer.status == status
    assert answer.body["detail"][0]["msg"]
    assert "abc" not in str(answer.body)
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_conflict_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    refused(VersionConflict(ORDER, 7, 9), Asked("who", 7))
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "Concurrency conflict on order o-1")
    assert record.__dict__["correlation_id"] == "who"


def test_what_is_nobodys_fault_is_raised() -> None:
    with pytest.raises(LogReplaced):
        refused(LogReplaced("another log"), Asked("test"))
