"""A cursor is untrusted text: any text gives a page or an `InvalidCursor`. The same holds for tokens."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofold import App, Decider, Page, Projection, Recorded, Running
from twofold.errors import InvalidCursor, InvalidToken

pytestmark = pytest.mark.slow

WIDE = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
ORDERS = ("text", "number", "real", "money", "at", "day", "uuid", "raw", "flag", "id")


@dataclass(frozen=True, slots=True)
class Put:
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    text: str = ""
    number: int = 0
    real: float = 0.5
    money: Decimal = Decimal("1.5")
    at: datetime | None = None
    day: date | None = None
    uuid: UUID | None = None
    raw: bytes = b"raw"
    flag: bool = True


def evolve(row: Row, event: Put, recorded: Recorded) -> Row:
    return replace(row, text=event.text, at=recorded.recorded_at, day=date(2026, 1, 1), uuid=UUID(int=1))


rows = Projection("rows", Row, evolve, indexes=["number"])


def decide(command: Put, state: str) -> list[Put]:
    return [command]


def fold(state: str, event: Put) -> str:
    return event.text


APP = App("fuzzed", deciders=[Decider("thing", "", decide, fold)], projections=[rows])


class Opened:
    """A running App that synchronous code can call."""

    def __init__(self, loop: asyncio.AbstractEventLoop, running: Running, token: str) -> None:
        self.loop, self.running, self.token = loop, running, token

    def find(self, **query: Any) -> Page[Row]:
        found: Page[Row] = self.loop.run_until_complete(self.running.find(rows, **query))
        return found


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'f.db'}"}
    url = urls.get(request.param) or request.getfixturevalue("new_database")()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def start() -> tuple[Running, str]:
            running = await stack.enter_async_context(APP.open(url))
            for number in range(3):
                done = await running.execute(APP.deciders[0], str(number), Put(f"text {number}"))
            await running.get(rows, "2", after=done.receipt)
            return running, done.receipt.token

        running, token = runner.run(start())
        yield Opened(runner.get_loop(), running, token)
        runner.run(stack.aclose())


def page_or_refused(opened: Opened, cursor: str, **query: Any) -> None:
    with suppress(InvalidCursor):
        assert isinstance(opened.find(cursor=cursor, **query), Page)


def test_any_text_for_a_cursor(opened: Opened) -> None:
    @WIDE
    @given(st.text() | st.text(st.sampled_from("abcdefghijABCDEFGHIJ0123456789_-=")) | st.binary().map(encoded))
    def any_text(cursor: str) -> None:
        page_or_refused(opened, cursor)

    any_text()


def test_a_cursor_of_ours_with_other_values(opened: Opened) -> None:
    """A forged cursor: no value gets past parsing."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["NaN", "1E+999999999"]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=3,
    )

    @WIDE
    @given(
        st.sampled_from(ORDERS),
        st.lists(values, max_size=3) | st.none(),
        st.booleans(),
        st.sampled_from([[], ["before"]]) | st.lists(values, max_size=2),
    )
    def other_values(order_by: str, last: list[Any] | None, as_many: bool, direction: list[Any]) -> None:
        cursor = opened.find(order_by=order_by, limit=1).cursor
        assert cursor is not None
        asked, ours = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        changed = (last + ours)[: len(ours)] if as_many and last is not None else last
        page_or_refused(opened, encoded(json.dumps([asked, changed, *direction]).encode()), order_by=order_by)

    other_values()


def test_any_text_for_a_token(opened: Opened) -> None:
    @WIDE
    @given(st.text() | st.from_regex(r"[0-9a-f]{16}:\d{1,10}:\d{1,20}") | st.integers(0).map(beyond(opened.token)))
    def any_text(token: str) -> None:
        with suppress(InvalidToken):  # and not ReadModelBehind: no read model is behind
            opened.find(after=token, wait_s=0)

    any_text()


def beyond(token: str) -> Any:
    return lambda offset: f"{token.rpartition(':')[0]}:{offset}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
