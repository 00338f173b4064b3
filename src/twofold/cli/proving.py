"""The commands that compare a read model with a fold of the feed: `verify` and `diff`."""

from __future__ import annotations

import time
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import Progress, TaskID

from twofold.cli.elsewhere import faults_elsewhere
from twofold.cli.output import Row, out, print_json, progress
from twofold.cli.target import AppName, AsJson, ReadStore, Store, check_name, run, targeted
from twofold.cli.target import found as found_at
from twofold.read.columns import Column
from twofold.read.projection import Key, Projection
from twofold.read.proof.verify import MOST_SHOWN, Cell, Difference, Report

ProjectionName = Annotated[
    str, typer.Argument(metavar="PROJECTION", help="The name of a projection of the App.", show_default=False)
]
Sample = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Compare N rows by lot; the feed is still read as a whole.")
]
Show = Annotated[int, typer.Option(min=1, metavar="N", help="Print the first N rows that differ; all are counted.")]


def verify(
    app: AppName,
    projection: ProjectionName,
    sample: Sample = None,
    show: Show = MOST_SHOWN,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Prove a read model: fold the feed afresh and compare row by row, while the projection goes on.

    Nothing is written to the store. Exit code 0: every row is what the feed makes of it. 1: rows differ, or the
    projection is no pure fold. 3: all rows that were compared are right, and others are parked.
    """
    target = targeted(app, store, read_store)

    async def prove() -> None:
        async with target.look() as running:
            live = running.projection(projection)
            follows = live.follows
            with progress(as_json) as bar:
                found = await running.verify(live, sample=sample, shown=show, told=_Bars(bar, str(follows)))
            if not found.faults:
                found = msgspec.structs.replace(found, faults=await faults_elsewhere(app, running, live, found))
        if as_json:
            _print_objects(found, {}, {"name": follows.name, "version": follows.version})
        else:
            _print_verified(str(follows), found)
        if not found.equal or found.parked:
            raise typer.Exit(3 if found.equal else 1)

    run(prove)


def diff(
    app: AppName,
    projection: ProjectionName,
    against: Annotated[str, typer.Option(metavar="MODULE:NAME", help="Where the changed projection is.")],
    sample: Sample = None,
    show: Show = MOST_SHOWN,
    store: Store = None,
    read_store: ReadStore = None,
    as_json: AsJson = False,
) -> None:
    """Show what a changed projection would make of the rows, before it is deployed. Nothing is written to the store.

    APP is the one that is deployed. Exit code 0: the change alters nothing. 1: it does.
    """
    check_name(against, "--against", "shop.read:changed")
    target = targeted(app, store, read_store)

    async def compare() -> None:
        changed = found_at(against, Projection, "projection")
        async with target.look() as running:
            live = running.projection(projection)
            with progress(as_json) as bar:
                told = _Bars(bar, str(changed.follows))
                found = await running.diff(live, changed, sample=sample, shown=show, told=told)
        if as_json:
            _print_objects(found, _ALTERED, {"name": projection, "against": against})
        else:
            _print_changed(found)
        if not found.equal:
            raise typer.Exit(1)

    run(compare)


_ALTERED = {"missing": "added", "extra": "removed", "different": "altered", "fails": "parks"}


class _Bars:
    """One bar for each thing that is done: how far it is, how fast, and how long it still takes."""

    def __init__(self, bar: Progress, name: str) -> None:
        self._bar, self._name = bar, name
        self._tasks: dict[str, tuple[TaskID, float]] = {}
        self._told_last = time.monotonic()  # what is told for the first time was begun then

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(f"{self._name} {what}", pace=""), self._told_last
        task, began = self._tasks[what]
        self._told_last = time.monotonic()
        per_s = done / max(self._told_last - began, 1e-3)
        pace = f"{per_s:,.0f} {'rows' if what == 'comparing' else 'events'}/s"
        self._bar.update(task, completed=done, total=total, pace=pace)


def _print_verified(name: str, found: Report) -> None:
    for one in found.differences:
        _print_difference(one, one.kind)
    _print_hidden(found)
    for failure in found.failures:
        out.print(
            f"fails: {failure.kind} {failure.key} cannot be folded since {failure.event} at {failure.position}, "
            f"and is not parked: {failure.error}",
            markup=False,
        )
    _print_common(found)
    different = sum(found.counts.values()) + len(found.failures)
    rows = f"{found.rows:,} rows"
    if found.equal:
        verdict = f"{rows} are what the feed makes of them"
    elif different:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in found.counts.items() if count)
        verdict = f"{different:,} of {rows} are not what the feed makes of them ({counts or 'they cannot be folded'})"
    else:
        verdict = f"{rows} are what the feed makes of them just now, but the projection is no pure fold"
    out.print(f"{name}: {verdict}, {_where(found)}", markup=False)


def _print_changed(found: Report) -> None:
    altered = sum(found.counts.values())
    names = [(_ALTERED[kind], count) for kind, count in found.counts.items() if count]
    detail = f" ({', '.join(f'{count:,} {name}' for name, count in names)})" if names else ""
    example = ", for example:" if found.differences else ""
    out.print(f"this change alters {altered:,} of {found.rows:,} rows{detail}, {_where(found)}{example}", markup=False)
    for one in found.differences:
        _print_difference(one, _ALTERED[one.kind])
    _print_hidden(found)
    for what, columns in (("added", found.added), ("removed", found.removed)):
        if columns:
            out.print(f"columns {what}: {', '.join(_column(column) for column in columns)}", markup=False)
    for failure in found.failures:
        out.print(
            f"would be parked: {failure.kind} {failure.key} at {failure.position}, {failure.event}: {failure.error}",
            markup=False,
        )
    _print_common(found)


def _print_difference(one: Difference, kind: str) -> None:
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
        return ", which no event makes" if one.kind == "extra" else ""
    before = "right until" if since.agreed_before else "not right since its first event,"
    return f", {before} {since.event} at {since.position} ({since.type})"


def _print_hidden(found: Report) -> None:
    hidden = sum(found.counts.values()) - len(found.differences)
    if hidden:
        out.print(f"and {hidden:,} more; --show prints them", markup=False)


def _print_common(found: Report) -> None:
    for fault in found.faults:
        row = f", row {fault.key}" if fault.key else ""
        out.print(f"not a pure fold: at {fault.event}{row}: {fault.what}", markup=False)
    for parked in found.parked:
        out.print(f"parked: {parked.kind} {parked.key} at {parked.position}: {parked.error}", markup=False)


def _where(found: Report) -> str:
    place = f"at {found.end}" if found.begin == found.end else f"between {found.begin} and {found.end}"
    return f"{place}, after {found.events:,} events"


def _print_objects(found: Report, kinds: dict[str, str], about: Row) -> None:
    for one in found.differences:
        print_json(
            {
                "kind": kinds.get(one.kind, one.kind),
                "key": [_plain(value) for value in one.key],
                "position": str(one.position),
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
        f"columns{what}": {column.name: column.kind for column in those}
        for what, those in (("Added", found.added), ("Removed", found.removed))
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
            "from": str(found.begin),
            "to": str(found.end),
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


def _column(column: Column) -> str:
    return f"{column.name} ({column.kind})"
