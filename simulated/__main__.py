"""Simulate the engine itself: `./dev simulate --histories 2000`. At the end it prints how often what happened."""

from __future__ import annotations

import json
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulated import SCENARIOS, record
from twofold.testing.simulation.histories import Simulated, SimulationFailed, run_histories

SLICE = 100

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def main(
    histories: Annotated[int, typer.Option(min=1, help="How many to run.")] = 2_000,
    seed: Annotated[int | None, typer.Option(help="Of the first history; counts up. Random by default.")] = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Of the log; by default drawn for each history.")
    ] = None,
    splits: Annotated[
        bool | None,
        typer.Option("--splits/--no-splits", help="Whether partitions split; by default in some histories."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes to run in parallel.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Add the histories to simulated/record.json; seeds go on from there.")
    ] = False,
) -> None:
    """Run the engine through histories with crashes, takeovers and lost responses, and check G1 to G11 after each.

    Stops at the first one that breaks a promise, prints the smallest such history, and exits with 1. To repeat it:
    --histories 1 --seed SEED, with --partitions and --splits where they were given. On Ctrl-C it prints what has
    happened so far, and exits with 130.
    """
    known = record.read()
    first = seed if seed is not None else known.next_seed if write else secrets.randbits(40)
    if write and known.has(range(first, first + histories)):
        raise typer.BadParameter(f"seeds from {first} on are in simulated/record.json already", param_hint="--seed")
    began = time.monotonic()
    ended = _run(first, histories, jobs, partial(_slice, partitions, splits), quiet=as_json)
    _print(ended, round(time.monotonic() - began, 1), as_json)
    if ended.failed is not None:
        err.print(str(ended.failed), markup=False)
        raise typer.Exit(1)
    if write and ended.total.runs:
        known = known.with_run(first, ended.total.runs, ended.total.counts)
        record.write(known)
        err.print(f"{known.histories:,} histories of this state of the engine ({known.state}) in simulated/record.json")
    if ended.interrupted:
        raise typer.Exit(130)


@dataclass(slots=True)
class _Ended:
    """What ran, the failure that ended it, and whether Ctrl-C did."""

    total: Simulated
    failed: SimulationFailed | None = None
    interrupted: bool = False


Slice = Callable[[range], Simulated | SimulationFailed]


def _run(first: int, histories: int, jobs: int, run: Slice, *, quiet: bool) -> _Ended:
    ended = _Ended(Simulated(first))
    with _progress(quiet) as bar:
        task = bar.add_task("histories", total=histories)
        try:
            if not quiet:
                out.print(f"{histories:,} histories from seed {first}")
            for done in _slices(first, histories, jobs, run):
                if isinstance(done, SimulationFailed):
                    ended.failed = done
                    break
                ended.total.runs += done.runs
                ended.total.counts.update(done.counts)
                bar.update(task, completed=ended.total.runs)
        except KeyboardInterrupt:
            ended.interrupted = True
    return ended


def _print(ended: _Ended, seconds: float, as_json: bool) -> None:
    total = ended.total
    if as_json:
        violations = 1 if ended.failed else 0
        figures = {"histories": total.runs, "seed": total.first_seed, "seconds": seconds, "violations": violations}
        print(json.dumps({**total.counts, **figures}))  # noqa: T201
        return
    for what, number in sorted(total.counts.items()):
        out.print(f"{number:>12,}  {what}")
    found = "1 violation" if ended.failed else "no violation"
    interrupted = ", then interrupted" if ended.interrupted else ""
    out.print(f"{total.runs:>12,}  histories in {seconds} s, {found}{interrupted}")


def _slices(first: int, histories: int, jobs: int, run: Slice) -> Iterator[Simulated | SimulationFailed]:
    """Yield the outcome of each slice, in order."""
    slices = [range(start, min(start + SLICE, first + histories)) for start in range(first, first + histories, SLICE)]
    if jobs == 1:
        yield from map(run, slices)
        return
    with ProcessPoolExecutor(jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            yield from pool.map(run, slices)
        finally:
            pool.shutdown(cancel_futures=True)


def _slice(partitions: int | None, splits: bool | None, seeds: range) -> Simulated | SimulationFailed:
    try:
        return run_histories(SCENARIOS, seeds, partitions=partitions, splits=splits)
    except SimulationFailed as failed:
        return failed


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, disable=quiet or not sys.stderr.isatty())


if __name__ == "__main__":
    typer.run(main)
