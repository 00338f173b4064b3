"""Names, positions and tokens: their format, and invalid ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold import InvalidInput, InvalidToken, Position, Receipt, Stream
from twofold.errors import TwofoldError, VersionConflict
from twofold.messages import Token, checked_id, checked_name
from twofold.testing import recorded

PRINTABLE = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(n) for n in (*range(32), 127)]),
    min_size=1,
    max_size=200,
)


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,62}", fullmatch=True), PRINTABLE)
def test_a_stream_is_printed_and_read_again(category: str, id_: str) -> None:
    stream = Stream(category, id_)
    assert str(stream) == f"{category}-{id_}"
    assert Stream.parse(str(stream)) == stream


def test_an_id_may_hold_hyphens_a_category_may_not() -> None:
    assert Stream.parse("order-a-b-") == Stream("order", "a-b-")
    with pytest.raises(InvalidInput, match="category"):
        Stream("or-der", "1")


@pytest.mark.parametrize("category", ["", "1a", "ä", "a b", "a-", "a" * 64, "_a", "a\n"])
def test_what_cannot_be_a_category(category: str) -> None:
    with pytest.raises(InvalidInput, match="category"):
        Stream(category, "1")


@pytest.mark.parametrize("id_", ["", "x" * 201, "a\nb", "\x00", "\x1f", "\x7f", "\ud800", None, 7, b"a"])
def test_what_cannot_be_an_id(id_: str) -> None:
    with pytest.raises(InvalidInput, match="the id of a stream must be 1 to 200 printable characters"):
        Stream("order", id_)
    with pytest.raises(InvalidInput, match="command_id"):
        checked_id(id_, "command_id")


@pytest.mark.parametrize(
    ("char", "named"),
    [
        ("\x85", "U+0085"),
        ("\xad", "U+00AD SOFT HYPHEN"),
        ("\u200b", "U+200B ZERO WIDTH SPACE"),
        ("\u200d", "U+200D ZERO WIDTH JOINER"),
        ("\u2028", "U+2028 LINE SEPARATOR"),
        ("\u2029", "U+2029 PARAGRAPH SEPARATOR"),
        ("\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\u2066", "U+2066 LEFT-TO-RIGHT ISOLATE"),
        ("\ufeff", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("\U000e0001", "U+E0001 LANGUAGE TAG"),
    ],
)
def test_a_new_name_is_printable(char: str, named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_name(f"te{char}a", "the id of a stream")
    assert str(refused.value).startswith(f"the id of a stream contains the unprintable character {named}: 'te\\")
    assert char not in str(refused.value)
    assert Stream("order", f"te{char}a").id == f"te{char}a"  # from an older log: must still be readable


@pytest.mark.parametrize("name", ["日本茶　☕️", "a b", "Zoë", "é", "", "a b"])
def test_a_new_name_may_hold_whatever_is_printable(name: str) -> None:
    assert checked_name(name, "an id") == name


@pytest.mark.parametrize("text", ["", "order", "-1", "order-", "-"])
def test_what_cannot_be_read_as_a_stream(text: str) -> None:
    with pytest.raises(InvalidInput):
        Stream.parse(text)


def test_a_refused_stream_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(InvalidInput):
            Stream.parse("no stream")


def test_positions_are_in_order_and_printed() -> None:
    assert Position(0, 2) < Position(0, 10) < Position(1, 0)
    assert str(Position(0, 1234)) == "0:1234"


@given(st.from_regex(r"[0-9a-f]{16}", fullmatch=True), st.integers(0, 99), st.integers(0, 2**63 - 1))
def test_a_token_is_printed_and_read_again(log_id: str, partition: int, offset: int) -> None:
    token = Token(log_id, Position(partition, offset))
    assert Token.parse(str(token)) == token


@given(st.text())
def test_no_text_is_a_token_by_chance_and_none_breaks_it(text: str) -> None:
    with pytest.raises(InvalidToken):
        Token.parse(text)


@pytest.mark.parametrize(
    "end", ["", "1", "1:", ":1", "-1:1", f"0:{2**63}", "0:1:2", "0:1 ", "0:1\n", "x:1", "0:１", "0:1_0", "+0:1"]
)
def test_what_cannot_be_a_token(end: str) -> None:
    with pytest.raises(InvalidToken):
        Token.parse(f"0123456789abcdef:{end}")


def test_a_receipt_carries_the_token_of_its_position() -> None:
    receipt = Receipt(Stream("order", "1"), 3, 2, Position(0, 17), "c", "0123456789abcdef")
    assert receipt.token == "0123456789abcdef:0:17"
    assert Token.parse(receipt.token).position == receipt.position


def test_a_fact_is_named_by_stream_and_version() -> None:
    assert recorded("event", "order-a-1", 3).id == "order-a-1@3"


def test_a_conflict_says_what_was_expected_and_what_is() -> None:
    conflict = VersionConflict(Stream("order", "1"), 2, 5)
    assert isinstance(conflict, TwofoldError)
    assert str(conflict) == "order-1 is at version 5, not 2"
