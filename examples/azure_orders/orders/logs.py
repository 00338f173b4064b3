"""Log lines: the sentence, then the fields that it does not name, so that a line can be found by each of them."""

from __future__ import annotations

import logging

FIELDS = ("order_id", "customer_id", "correlation_id", "batch_size", "upserts", "lag_ms", "parked")


class Sentences(logging.Formatter):
    """`Projecting order order-1001 version 1 order_id=order-1001 correlation_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        said = super().format(record)
        named = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        return " ".join([said, *(f"{name}={value}" for name, value in named.items() if f"{name}=" not in said)])
