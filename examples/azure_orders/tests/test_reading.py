"""What no database can hold is not there, and not an error of the database."""

from base64 import urlsafe_b64encode

import pytest

from orders.answers import Asked
from orders.reading import of_customer, projection, summary


class Strict:
    """Has no rows, and refuses what PostgreSQL refuses."""

    async def query(self, sql: str, *, params: dict[str, object] | None = None) -> list[dict[str, object]]:
        assert params is not None
        assert "\0" not in "".join(map(str, params.values()))
        assert params.get("created_at", "2026-11-29T19:54:48Z") == "2026-11-29T19:54:48Z"
        return []


def cursor(place: str) -> str:
    return urlsafe_b64encode(place.encode()).decode()


async def test_ids_with_a_nul_are_not_there() -> None:
    assert (await projection(Strict(), "a\0", Asked("c"))).status == 404
    assert (await of_customer(Strict(), "a\0", None, "/")).body == []
    assert (await of_customer(Strict(), "a", cursor(r'["2026-11-29T19:54:48Z","\u0000"]'), "/")).body == []
    assert (await summary(Strict(), "a\0")).body.total_orders == 0


@pytest.mark.parametrize("time", ["2026-W01-1", "20260101", "soon", "2026-01-01"])
async def test_a_cursor_has_a_time_that_every_database_reads(time: str) -> None:
    assert (await of_customer(Strict(), "a", cursor(f'["{time}","x"]'), "/")).status == 400
    assert (await of_customer(Strict(), "a", cursor('["2026-11-29T19:54:48Z","x"]'), "/")).status == 200
