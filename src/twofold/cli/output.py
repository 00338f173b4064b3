"""How commands print: a table for people, one JSON object a line for machines, errors on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from twofold import operate
from twofold.messages import BEGINNING, Entry, Position

PIPE_WIDTH = 160

Row = dict[str, Any]
"""One row of a table; its keys are the names in JSON."""


class _Console(Console):
    """Prints text unchanged: without markup, highlighting or line breaks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, **options)

    def on_broken_pipe(self) -> None:
        """Raise the error again: the commands handle it."""
        raise  # noqa: PLE0704 (called in an except block)


out = _Console(width=None if sys.stdout is not None and sys.stdout.isatty() else PIPE_WIDTH)
err = _Console(stderr=True)


def note_on_view(view: operate.ViewStatus) -> str | None:
    """How old a materialised view is, and what needs attention."""
    age = [] if view.age_s is None else [f"refreshed {view.age_s:.1f} s ago, {view.lag_events} events behind"]
    return "; ".join([*age, *([view.note] if view.note else [])]) or None


def print_rows(rows: Sequence[Row], as_json: bool, nothing: str = "nothing") -> None:
    """Print a table whose headings are the names in JSON, as words; `nothing` if there are no rows.

    For people, the `note` of a row is printed as a line on standard error.
    """
    if as_json:
        for row in rows:
            print_json(row)
        return
    if not rows:
        out.print(nothing)
        return
    table = Table()
    names = [name for name in rows[0] if name != "note"]
    for name in names:
        table.add_column(_words(name), justify="right" if _is_number(rows[0][name]) else "left")
    for row in rows:
        table.add_row(*[Text(_cell(row[name])) for name in names])
    out.print(table)
    for row in rows:
        if row.get("note"):
            err.print(f"note: {row['name']} v{row['version']}: {row['note']}")


def print_json(row: Row) -> None:
    """Print one object on a line of its own, and flush."""
    out.file.write(json.dumps(row) + "\n")  # ASCII, whatever the terminal can show
    out.file.flush()


def print_entry(entry: Entry, as_json: bool) -> None:
    """Print one event, as stored, on one line."""
    if as_json:
        print_json(
            {
                "position": str(entry.position),
                "stream": entry.stream,
                "version": entry.version,
                "type": entry.type,
                "schema": entry.schema,
                "recordedAt": entry.recorded_at.isoformat(),
                "data": json.loads(entry.data),
                "meta": json.loads(entry.meta),
            }
        )
        return
    data = entry.data if isinstance(entry.data, str) else entry.data.decode()
    when = entry.recorded_at.strftime("%Y-%m-%d %H:%M:%S")
    place = f"{entry.position!s:>10}  {when}  {entry.stream}@{entry.version}"
    out.print(f"{place}  {entry.type}  {data}")


def shown_positions(places: Sequence[Position]) -> str:
    """The positions of all partitions; the beginning if there are none yet."""
    return ", ".join(map(str, places)) or str(BEGINNING)


def progress(quiet: bool) -> Progress:
    """A progress bar on standard error; tasks have a field `pace`."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    return Progress(*columns, TextColumn("{task.fields[pace]}"), TimeRemainingColumn(), console=err, disable=quiet)


def _words(name: str) -> str:
    """lagSeconds → lag seconds."""
    return re.sub(r"[A-Z]", lambda letter: f" {letter[0].lower()}", name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)
