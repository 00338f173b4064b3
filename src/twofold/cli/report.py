"""What `verify` and `diff` share: options, progress bars (also for `copy`), and output."""

from __future__ import annotations

import time
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from twofold.cli.output import Row, out, print_json, shown_positions
from twofold.read.projection import Key
from twofold.read.proof.verify import Cell, Difference, Report

ProjectionName = Annotated[
    str, typer.Argument(metavar="PROJECTION", help="The name of a projection of the App.", show_default=False)
]
Sample = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Compare N random rows; the whole feed is still read.")
]
Show = Annotated[int, typer.Option(min=1, metavar="N", help="Print the first N rows that differ; all are counted.")]


_COUNTED = {"comparing": "rows", "command ids": "command ids"}


class Bars:
    """One bar for each step: how far it is, how fast, and how long it still takes. A `twofold.progress.Progress`."""

    def __init__(self, bar: Progress, name: str) -> None:
        self._bar, self._name = bar, name
        self._tasks: dict[str, tuple[TaskID, float]] = {}
        self._updated = time.monotonic()  # a step began when the one before was last updated

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(f"{self._name} {what}", pace=""), self._updated
        task, began = self._tasks[what]
        self._updated = time.monotonic()
        per_s = done / max(self._updated - began, 1e-3)
        pace = f"{per_s:,.0f} {_COUNTED.get(what, 'events')}/s"
        self._bar.update(task, completed=done, total=total, pace=pace)


def print_difference(one: Difference, kind: str) -> None:
    out.print(f"{kind}: {_key_shown(one.key)}{_since_shown(one)}", markup=False)
    for cell in one.cells:
        out.print(f"    {cell.column}: {_shown(one, cell)}", markup=False)


def _shown(one: Difference, cell: Cell) -> str:
    match one.kind:
        case "missing":
            return _text(cell.fold)
        case "extra":
            return _text(cell.live)
        case "different":
            return f"{_text(cell.live)} in the read model, {_text(cell.fold)} by the fold"


def _since_shown(one: Difference) -> str:
    since = one.since
    if since is None:
        return ", which no event produces" if one.kind == "extra" else ""
    before = "right until" if since.agreed_before else "wrong since its first event,"
    return f", {before} {since.event} at {since.position} ({since.type})"


def print_hidden(found: Report) -> None:
    hidden = sum(found.counts.values()) - len(found.differences)
    if hidden:
        out.print(f"and {hidden:,} more; use --show to print them", markup=False)


def print_common(found: Report) -> None:
    for fault in found.faults:
        row = f", row {fault.key}" if fault.key else ""
        out.print(f"not a pure fold: at {fault.event}{row}: {fault.what}", markup=False)
    for parked in found.parked:
        out.print(f"parked: {parked.kind} {parked.key} at {parked.position}: {parked.error}", markup=False)


def where(found: Report) -> str:
    begin, end = shown_positions(found.begin), shown_positions(found.end)
    place = f"at {end}" if begin == end else f"between {begin} and {end}"
    return f"{place}, after {found.events:,} events"


def print_objects(found: Report, kinds: dict[str, str], about: Row) -> None:
    for one in found.differences:
        print_json(
            {
                "kind": kinds.get(one.kind, one.kind),
                "key": [_plain(value) for value in one.key],
                "position": shown_positions(one.at),
                "columns": {c.column: {"live": _plain(c.live), "fold": _plain(c.fold)} for c in one.cells},
                "since": one.since
                and {
                    "event": one.since.event,
                    "type": one.since.type,
                    "position": str(one.since.position),
                    "rightBefore": one.since.agreed_before,
                },
            }
        )
    for failure in found.failures:
        print_json(_waits(kinds.get("fails", "fails"), failure.kind, failure.key, str(failure.position), failure.error))
    for fault in found.faults:
        print_json({"kind": "impure", "key": fault.key or None, "event": fault.event, "what": fault.what})
    for parked in found.parked:
        print_json(_waits("parked", parked.kind, parked.key, str(parked.position), parked.error))
    counts = {kinds.get(kind, kind): count for kind, count in found.counts.items()}
    columns = {
        f"columns{what}": {column.name: column.kind for column in columns}
        for what, columns in (("Added", found.added), ("Removed", found.removed))
    }
    print_json(
        {
            "kind": "summary",
            **about,
            "equal": found.equal,
            "rows": found.rows,
            **counts,
            kinds.get("fails", "fails"): len(found.failures),
            "impure": len(found.faults),
            "parked": len(found.parked),
            **(columns if kinds else {}),
            "events": found.events,
            "from": shown_positions(found.begin),
            "to": shown_positions(found.end),
        }
    )


def _waits(kind: str, what: str, key: str, position: str, error: str) -> Row:
    return {"kind": kind, "what": what, "key": key, "position": position, "error": error}


def _key_shown(key: Key) -> str:
    return "row " + ", ".join(_text(value) for value in key)


def _text(value: Any) -> str:
    match value:
        case None:
            return "None"
        case str():
            return repr(value) if len(value) <= 200 else f"{value[:200]!r}… ({len(value):,} characters)"
        case bytes():
            return f"{value.hex()[:200]} (bytes)"
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.hex()
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)
