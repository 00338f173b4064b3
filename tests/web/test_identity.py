"""Rules and scopes are user code: who cancels what in them."""

from __future__ import annotations

import asyncio

import pytest

from twofold.web.identity import _user_code


async def test_a_request_that_is_cancelled_within_a_rule_ends() -> None:
    begun = asyncio.Event()

    async def asked() -> None:
        with _user_code("allow="):
            begun.set()
            await asyncio.Event().wait()

    request = asyncio.create_task(asked())
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_rule_that_waits_for_a_task_of_its_own_which_was_cancelled_is_an_error() -> None:
    own = asyncio.create_task(asyncio.Event().wait())
    own.cancel()
    with pytest.raises(RuntimeError, match="allow= raised CancelledError"), _user_code("allow="):
        await own
