"""Compare a read model with a fresh fold of the feed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from twofold.app import App, Running
from twofold.backends.connect import scratch_rows
from twofold.errors import InvalidInput
from twofold.operate.check import check_is_of
from twofold.operate.impurity import faults_elsewhere
from twofold.progress import Progress, no_progress
from twofold.read.projection import Projection
from twofold.read.proof.verify import MOST_SHOWN, Report, Verification
from twofold.read.rollup import Rollup


async def verify(
    running: Running,
    projection: Projection[Any],
    *,
    sample: int | None = None,
    shown: int = MOST_SHOWN,
    progress: Progress = no_progress,
    app_at: str | None = None,
) -> Report:
    """Compare the rows of a read model with a fresh fold of the feed (G9), while the projection continues.

    Compares all rows, or a random `sample` of them. The report contains the first `shown` differences. `app_at` says
    where the App can be imported, `module:name`. If it is given, rows that differ are also folded in other processes,
    which finds folds that depend on the process, such as on the order of a set.

    Raises: InvalidInput, ConfigurationError, LogReplaced, UndecodableEvent, Unavailable.
    """
    report = await _compared(running, running.app, projection, projection, sample, shown, progress)
    if app_at is None or report.faults or isinstance(projection, Rollup):
        return report
    return msgspec.structs.replace(report, faults=await faults_elsewhere(app_at, running, projection, report))


async def diff(
    running: Running,
    projection: Projection[Any],
    against: Projection[Any],
    *,
    sample: int | None = None,
    shown: int = MOST_SHOWN,
    progress: Progress = no_progress,
) -> Report:
    """Compare the rows of a read model with those that a changed projection would produce. Nothing is written.

    Raises: like `verify`; InvalidInput also if the keys differ.
    """
    changed = replace(running.app, projections=_with(running.app, projection, against))
    return await _compared(running, changed, projection, against, sample, shown, progress)


def _with(app: App, projection: Projection[Any], against: Projection[Any]) -> list[Projection[Any]]:
    """The App's projections with a changed one. Its Rollups are over the others, and not asked for here."""
    changed = [against.of, against] if isinstance(against, Rollup) else [against]
    names = {projection.name, *(one.name for one in changed)}
    return [*(one for one in app.projections if one.name not in names and not isinstance(one, Rollup)), *changed]


async def _compared(
    running: Running,
    app: App,
    live: Projection[Any],
    fold: Projection[Any],
    sample: int | None,
    shown: int,
    progress: Progress,
) -> Report:
    check_is_of(running, live)
    if sample is not None and sample < 1:
        raise InvalidInput(f"sample must be a number of rows, at least 1, not {sample}")
    folding = app.folding(fold)
    live = folding if live is fold else live
    verification = Verification(live, folding, running.rows, running.log, app.codec, progress)
    async with scratch_rows() as shadow:
        return await verification.run(shadow, sample=sample, salt=running.ambient.new_id(), shown=shown)
