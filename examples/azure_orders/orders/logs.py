"""Log lines: the sentence, then the fields that it does not name, so that a line can be found by each of them."""

from __future__ import annotations

import logging

FIELDS = ("order_id", "customer_id", "correlation_id", "batch_size", "upserts", "lag_ms", "parked")


LONGEST = 200


class Sentences(logging.Formatter):
    """`Projecting order order-1001 version 1 order_id=order-1001 correlation_id=…`.

    A request cannot write lines, or fields, of its own: what is not printable is escaped, and values with spaces are
    quoted. The text of an exception follows as it is.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is that of logging)
        """See `logging.Formatter`."""
        said = _printable(super().formatMessage(record))
        named = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        return " ".join([said, *(f"{name}={_value(value)}" for name, value in named.items() if f"{name}=" not in said)])


def _value(value: object) -> str:
    text = str(value)
    shown = _printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
    return f'"{shown.replace(chr(34), chr(92) + chr(34))}"' if " " in shown or '"' in shown or "=" in shown else shown


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
