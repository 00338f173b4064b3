"""`./dev mutants --only src/twofold/write --budget 10`."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from devservers.postgres import server
from mutants import drawing, lists, run
from mutants.copy import KEPT, ROOT, SOURCE, Copy, hash_of
from mutants.defect import Defect
from mutants.lists import Result
from mutants.trial import trace

out = Console(highlight=False, soft_wrap=True)


def main(
    only: Annotated[str, typer.Option(help="Files whose path begins so, such as src/twofold/write.")] = "",
    seed: Annotated[int | None, typer.Option(help="Draw again from the source as it is now.")] = None,
    budget: Annotated[float, typer.Option(min=0.0, help="Minutes; then it ends with what it has.")] = 60.0,
    number: Annotated[list[int] | None, typer.Option(help="Of those made by hand; may be repeated.")] = None,
    kind: Annotated[str, typer.Option(help="hand, drawn, or all.")] = "all",
    effort: Annotated[float, typer.Option(min=1.0, help="Seconds of the processor for tests of one defect.")] = 20.0,
    first: Annotated[list[str] | None, typer.Option(help="Part of the names of tests to run first.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Do not use results of earlier runs.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the results into mutants/results.json.")] = False,
    draw: Annotated[
        bool, typer.Option("--draw", help="Only add to mutants/drawn.json, for files in which too few still apply.")
    ] = False,
) -> None:
    """Plant defects in a copy of the tree, one at a time, and say which ones no test notices.

    An interrupted run resumes where it stopped. Exits with 1 if a defect survived that is not listed as
    harmless.
    """
    if draw:
        known = lists.drawn()
        lists.write_drawn(lists.Drawn(known.seed, drawing.topped_up(ROOT, known.seed, known.defects)))
        return
    chosen = _chosen(only, seed, number, kind)
    if again:
        run.JOURNAL.unlink(missing_ok=True)
    results = _run(chosen, time.monotonic() + budget * 60, run.Effort(effort, first=tuple(first or ())))
    harmless = lists.harmless()
    survivors = [one for one in results if one.by is None and not one.absent]
    _print(results, survivors, len(chosen), harmless)
    if write:
        lists.write_results(_merged(results))
    raise typer.Exit(1 if any(one.defect.name not in harmless for one in survivors) else 0)


def _chosen(only: str, seed: int | None, number: Sequence[int] | None, kind: str) -> Sequence[Defect]:
    hand = lists.by_hand()
    if number:
        return [hand[one - 1] for one in number]
    drawn = list(lists.drawn().defects if seed is None else drawing.draw(ROOT, seed))
    Random(lists.SEED).shuffle(drawn)  # a part of them says something of all
    chosen = [*(hand if kind != "drawn" else []), *(drawn if kind != "hand" else [])]
    return [defect for defect in chosen if defect.file.startswith(only)]


def _run(chosen: Sequence[Defect], until: float, effort: run.Effort) -> Sequence[Result]:
    KEPT.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its processes must end with it
    results: list[Result] = []
    with server(fsync=False) as postgres:
        copy, notes = Copy(KEPT / "tree"), KEPT / "notes" / hash_of(SOURCE)
        out.print("noting which test runs which lines: once for this source, some minutes")
        trace(copy, postgres.url, notes)
        out.print("collecting the tests")
        running = run.Run(copy, postgres.url, notes, effort)
        out.print(f"{len(chosen):,} defects, {running.tests:,} tests")
        try:
            for result in running.results(chosen, until):
                results.append(result)
                out.print(f"{len(results):>4} {_line(result)}", markup=False)
        except KeyboardInterrupt:
            out.print("interrupted")
        finally:
            running.close()
    return results


def _line(result: Result) -> str:
    defect = result.defect
    what = "absent" if result.absent else "SURVIVED" if result.by is None else "hung" if result.hung else "noticed"
    where = f"{defect.file}:{defect.line}" if defect.line else defect.file
    by = (result.by or "").split("::", 1)[-1]
    return f"{what:<8} {result.seconds:>5.1f} s {result.ran:>4} tests  {where}  {defect.kind}  {by}"


def _print(results: Sequence[Result], survivors: Sequence[Result], chosen: int, harmless: Mapping[str, str]) -> None:
    table = Table("file", "line", "kind", "before", "after", "why harmless", title="Survivors")
    for one in survivors:
        defect, reason = one.defect, harmless.get(one.defect.name, "")
        table.add_row(defect.file, str(defect.line), defect.kind, defect.old[:60], defect.new[:60], reason)
    if survivors:
        out.print(table)
    tried = [one for one in results if not one.absent]
    noticed = sum(one.by is not None for one in tried)
    out.print(f"{noticed:,} of {len(tried):,} noticed; {chosen - len(results):,} of {chosen:,} not tried")


def _merged(results: Sequence[Result]) -> Sequence[Result]:
    """Those of earlier runs and of this one. A listed defect that follows the lines it changes is another one."""
    found = {one.defect.name: one for one in [*lists.results(), *results]}
    listed = {defect.name for defect in (*lists.by_hand(), *lists.drawn().defects)}
    return [one for name, one in found.items() if name in listed]


if __name__ == "__main__":
    typer.run(main)
