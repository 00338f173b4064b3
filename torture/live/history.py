"""What each row was at each place of the log, folded here and not by twofold."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from torture.live.ledger import ADMIN, POISON
from torture.live.views import Asked, Row, place_of
from twofold.feed.feed import Feed
from twofold.messages import BEGINNING

PAGE = 1_000


class History:
    """Grows with the log; restored logs have a history of their own."""

    def __init__(self) -> None:
        self._at = BEGINNING
        self._places: dict[str, dict[str, list[int]]] = {"items": defaultdict(list), "tallies": defaultdict(list)}
        self._rows: dict[str, dict[str, list[Row | None]]] = {"items": defaultdict(list), "tallies": defaultdict(list)}
        self._poisoned: set[str] = set()

    async def grow(self, log: Feed) -> None:
        """Read up to the end of the log. Raises: Unavailable."""
        while (await log.head()) > self._at:
            page = await log.read(self._at, PAGE)
            for entry in page.entries:
                data = msgspec.json.decode(entry.data)
                self._take(entry.stream.partition("-")[2], entry.type, data, entry.version, entry.position.offset)
            self._at = page.upto

    def _take(self, key: str, type: str, data: Mapping[str, Any], version: int, place: int) -> None:
        if type == "Removed":
            self._add("items", key, place, None)
            return
        if data["text"] == POISON:
            self._poisoned.add(key)
        row = {"item_id": key, "owner": data["owner"], "text": data["text"], "version": version}
        self._add("items", key, place, row)
        before = self._rows["tallies"][data["owner"]]
        written = (before[-1] or {})["written"] + 1 if before else 1
        self._add("tallies", data["owner"], place, {"owner": data["owner"], "written": written, "version": place})

    def _add(self, name: str, key: str, place: int, row: Row | None) -> None:
        self._places[name][key].append(place)
        self._rows[name][key].append(row)

    def disagreements(self, asked: Asked, rows: Mapping[str, Row], token: str) -> Iterator[str]:
        """What of a view is neither as it was at its token nor newer."""
        name, at = asked.projection, place_of(token)
        for key in {*self._rows[name], *rows}:
            if key in self._poisoned and name == "items":
                continue  # what is parked stays as it was
            first = bisect_right(self._places[name][key], at) - 1
            possible = [row if _is_shown(asked, key, row) else None for row in self._rows[name][key][max(first, 0) :]]
            if first < 0:
                possible.append(None)
            row = rows.get(key)
            known = None if row is None else {column: value for column, value in row.items() if column != "length"}
            if known not in possible:
                yield f"{asked}: {key} is {known} at {at}, but was {possible[0] if possible else None}"


def _is_shown(asked: Asked, key: str, row: Row | None) -> bool:
    """Whether a row meets what its client asked."""
    if row is None or (asked.user != ADMIN and row["owner"] != asked.user):
        return False
    least: int = asked.where.get("version__ge", 0)
    return bool(asked.where.get("item_id", key) == key and row["version"] >= least)
