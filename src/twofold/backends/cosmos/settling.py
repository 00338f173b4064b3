"""Batches are sent until it is known what has become of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from twofold.backends.cosmos.client import Container, Written
from twofold.backends.cosmos.layout import Operation
from twofold.backends.cosmos.refusals import NoResponse
from twofold.errors import Unavailable

PATIENCE_S = 15.0
PAUSE_S = 0.1


class Attempt(msgspec.Struct):
    """Something to store. `unsure`: it may have been stored already, although no response has said so."""

    unsure: bool = False


async def settled(container: Container, operations: Sequence[Operation], key: str, attempt: Attempt) -> Written:
    """Run a batch until its outcome is known.

    If its response is lost, the same batch is sent again: it depends on documents that only one of the two can create
    or replace. A conflict then says that the first one was carried out, or that it never will be.

    Raises: Conflict, TooLarge; Unavailable, with `attempt.unsure` if it may have been carried out.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + PATIENCE_S
    while True:
        try:
            return await container.batch(operations, key)
        except Unavailable as error:
            attempt.unsure = attempt.unsure or isinstance(error, NoResponse)
            if not attempt.unsure or clock() > deadline:
                raise
        await asyncio.sleep(PAUSE_S)
