"""The pool of connections when connecting fails. It needs no server."""

import asyncio
from typing import Any

import pytest

from twofold.backends.postgres.pool import Pool


@pytest.mark.parametrize("error", [OSError("refused"), TimeoutError("no answer"), asyncio.CancelledError()])
async def test_a_connection_that_cannot_be_made_leaves_its_place_free(error: BaseException) -> None:
    """However often: the server may be away for long, and callers give up."""
    begun = 0

    async def connect() -> Any:
        nonlocal begun
        begun += 1
        raise error

    pool = Pool(2, connect)
    for _ in range(5):
        with pytest.raises(type(error), match=str(error) or None):
            await pool.take(0.01)
    assert begun == 5
    await pool.close()
