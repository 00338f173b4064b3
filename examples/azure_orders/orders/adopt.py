"""`python -m orders.adopt FILE`: take over the orders of a container that another program wrote, one JSON on each line.

They are stored as documents of today, and come to the read models like all others. It can be run again: an order that
was taken over before is left as it is. The first line that cannot be read ends it, with its number.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from orders.opened import Stores, stores
from orders.order import Order, orders
from orders.read_models import app
from orders.versions import newest
from twofold import InvalidInput, TwofoldError, VersionConflict
from twofold.app import Running


async def adopt(at: Stores, lines: Iterable[str]) -> int:
    """Returns how many orders were not there yet. Raises: InvalidInput, naming the line; Unavailable."""
    adopted = 0
    async with app.open(at.log, read_store=at.read, work=False) as running:
        for number, line in enumerate(lines, 1):
            if line.strip():
                adopted += await _stored(running, _order(number, line))
    return adopted


def _order(number: int, line: str) -> Order:
    try:
        document = newest(json.loads(line, parse_float=Decimal))
        return msgspec.convert(document, Order, strict=False)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidInput(f"line {number} is not an order: {error}") from error


async def _stored(running: Running, order: Order) -> bool:
    command = f"adopt-{order.id}"
    try:
        stream = orders.stream(order.id)
        receipt = await running.append(stream, [order], expected_version=0, command_id=command, correlation_id=command)
    except VersionConflict:  # it was created here
        return False
    return not receipt.repeated


def main() -> int:
    """Run it with the settings of the environment; returns the exit status."""
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            adopted = asyncio.run(adopt(stores(os.environ), file))
    except (IndexError, OSError, TwofoldError) as error:
        print("adopt: name a file" if isinstance(error, IndexError) else f"adopt: {error}", file=sys.stderr)
        return 1
    print(f"adopt: {adopted} orders are new", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
