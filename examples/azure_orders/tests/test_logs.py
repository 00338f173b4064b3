"""Lines of the log, which a request cannot forge."""

import logging

import pytest

from orders.logs import LONGEST, Sentences


def line(message: str, *arguments: object, **fields: object) -> str:
    record = logging.makeLogRecord({"msg": message, "args": arguments, **fields})
    return Sentences().format(record)


@pytest.mark.parametrize(
    ("id", "shown"),
    [
        ("order-1", "order_id=order-1"),
        ("Zoë", "order_id=Zoë"),
        ("not there", 'order_id="not there"'),
        ("a upserts=9", 'order_id="a upserts=9"'),
        ('a" upserts="9', 'order_id="a\\" upserts=\\"9"'),
        ("a\nforged", "order_id=a\\nforged"),
        ("a\x1b[2Jb\u2028c\u202ed", "order_id=a\\x1b[2Jb\\u2028c\\u202ed"),
        ("a" * 10_000, f"order_id={'a' * LONGEST}…"),
    ],
)
def test_a_value_stays_within_its_field(id: str, shown: str) -> None:
    assert line("Read model miss.", order_id=id) == f"Read model miss. {shown}"


def test_what_is_in_the_sentence_stays_on_its_line() -> None:
    said = line("Concurrency conflict on order %s", "a\r\nb", order_id="a\r\nb", correlation_id="me")
    assert said == "Concurrency conflict on order a\\r\\nb order_id=a\\r\\nb correlation_id=me"


def test_an_exception_follows_as_it_is() -> None:
    try:
        raise ValueError("on two\nlines")
    except ValueError as error:
        said = line("failed", order_id="o-1", exc_info=(type(error), error, error.__traceback__))
    first, *rest = said.splitlines()
    assert first == "failed order_id=o-1"
    assert rest[-2:] == ["ValueError: on two", "lines"]
