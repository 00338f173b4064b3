"""Metrics of a running App, in the Prometheus text format (version 0.0.4).

Counters cover this process since its start. Gauges of lag and parking describe the store, so they are the same in every
process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from twofold.app import Running
from twofold.feed.checkpoints import FollowerId
from twofold.feed.follow import Following
from twofold.operate import FollowerStatus, ViewStatus, status, views

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its samples."""

    name: str
    kind: str  # "counter" | "gauge"
    help: str
    samples: Iterable[tuple[Labels, float]]

    def lines(self) -> Iterator[str]:
        """The metric in the Prometheus text format."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            yield f"{self.name}{{{shown}}} {value:.15g}" if shown else f"{self.name} {value:.15g}"


async def metrics(running: Running, more: Iterable[Metric] = ()) -> str:
    """All metrics, with `more` from the caller appended. Raises: Unavailable."""
    found = await status(running)
    known = {one.follower_id: one for one in running.followers}
    named = [(FollowerId(one.name, one.version, one.partition), one) for one in found]
    followers = [(one, known[name]) for name, one in named if name in known]  # no rollup, nor what has just split
    kept = [view for view in await views(running) if view.in_app and view.age_s is not None]
    shown = [*_of_commits(running), *_of_followers(followers, kept), *(_of_views(kept) if kept else ()), *more]
    return "\n".join(line for metric in shown for line in metric.lines()) + "\n"


def _of_commits(running: Running) -> Iterator[Metric]:
    counts = running.commits.counts

    def unlabelled(value: float) -> Iterable[tuple[Labels, float]]:
        return [({}, value)]

    yield Metric("twofold_appends_total", "counter", "Appends that were stored.", unlabelled(counts.appends))
    yield Metric("twofold_appended_events_total", "counter", "Events in these appends.", unlabelled(counts.events))
    yield Metric("twofold_append_batches_total", "counter", "Group commits.", unlabelled(counts.batches))
    yield Metric(
        "twofold_append_batch_largest",
        "gauge",
        "Appends in the largest group commit.",
        unlabelled(counts.largest_batch),
    )
    yield Metric(
        "twofold_appends_waiting", "gauge", "Appends queued for the next batch.", unlabelled(running.commits.queued)
    )
    yield Metric(
        "twofold_append_repeated_total",
        "counter",
        "Repeated commands that returned the original answer.",
        unlabelled(running.executor.repeated),
    )
    yield Metric(
        "twofold_append_conflicts_total", "counter", "Appends that found another version.", unlabelled(counts.conflicts)
    )


def _of_followers(followers: list[tuple[FollowerStatus, Following]], views: list[ViewStatus]) -> Iterator[Metric]:
    def each(value: str) -> list[tuple[Labels, float]]:
        return [(_labels(follower), float(getattr(follower, value))) for follower, _ in followers]

    def with_views(value: str) -> list[tuple[Labels, float]]:
        return [*each(value), *((_view_labels(view), float(getattr(view, value))) for view in views)]

    def counted(value: str) -> Iterable[tuple[Labels, float]]:
        return [(_labels(follower), float(getattr(following.counts, value))) for follower, following in followers]

    held = [(_labels(follower), float(following.state == "following")) for follower, following in followers]
    yield Metric(
        "twofold_lag_events", "gauge", "Positions between the feed's head and the checkpoint.", with_views("lag_events")
    )
    yield Metric("twofold_lag_seconds", "gauge", "Age of the oldest unhandled event.", with_views("lag_s"))
    yield Metric("twofold_parked", "gauge", "Rows and streams parked at a failure.", each("parked"))
    yield Metric("twofold_lease_held", "gauge", "1 if this process holds the checkpoint.", held)
    failing = [(_labels(follower), float(follower.state in ("failing", "stopped"))) for follower, _ in followers]
    yield Metric(
        "twofold_follower_failing", "gauge", "1 while the follower is failing or stopped in this process.", failing
    )
    yield Metric("twofold_lease_claims_total", "counter", "Times this process claimed a checkpoint.", counted("claims"))
    yield Metric("twofold_lease_losses_total", "counter", "Times another process took it over.", counted("losses"))
    yield Metric(
        "twofold_follower_failures_total", "counter", "Times the follower failed and was retried.", counted("failures")
    )
    yield Metric("twofold_followed_events_total", "counter", "Events folded or reacted to.", counted("events"))
    yield Metric("twofold_followed_pages_total", "counter", "Pages of the feed handled.", counted("pages"))


def _of_views(views: list[ViewStatus]) -> Iterator[Metric]:
    ages = [(_view_labels(view), view.age_s or 0.0) for view in views]
    yield Metric("twofold_view_age_seconds", "gauge", "Time since a materialised view was refreshed.", ages)


def _view_labels(view: ViewStatus) -> Labels:
    return {"follower": view.name, "version": str(view.version), "kind": "view"}


def _labels(follower: FollowerStatus) -> Labels:
    labels = {"follower": follower.name, "version": str(follower.version), "kind": follower.kind}
    if follower.partition:  # only of a log that has several
        labels["partition"] = str(follower.partition)
    return labels


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
