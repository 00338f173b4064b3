"""Which leases a host takes. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from devservers.functions.feed import Range
from devservers.functions.leases import Lease

FIRST, LAST = "", "FF"  # the bounds of all hashes


class Sightings:
    """When each lease was last seen to change, on this host's own clock: no two clocks are compared."""

    def __init__(self, expiration_s: float) -> None:
        self._expiration_s = expiration_s
        self._seen = dict[tuple[str, str], tuple[str, float]]()

    def free(self, leases: Sequence[Lease], now: float) -> list[Lease]:
        """Those without an owner, and those whose owner has not touched them for the expiration."""
        for lease in leases:
            if self._seen.get(lease.range.key, ("", 0.0))[0] != lease.etag:
                self._seen[lease.range.key] = (lease.etag, now)
        return [one for one in leases if one.owner is None or now - self._seen[one.range.key][1] >= self._expiration_s]


class Gaps:
    """The ranges without a lease, and since when: a lease can be deleted while a worker holds it."""

    def __init__(self, expiration_s: float) -> None:
        self._expiration_s = expiration_s
        self._since = dict[Range, float]()

    def lasting(self, leases: Sequence[Lease], now: float) -> list[Range]:
        """The gaps that have been seen for as long as a lease takes to expire.

        By then a former holder of a deleted lease has noticed. A gap that was seen only because a range split while the
        leases were read, one after another, does not last as long.
        """
        self._since = {gap: self._since.get(gap, now) for gap in gaps(leases)}
        return [gap for gap, since in self._since.items() if now - since >= self._expiration_s]


def gaps(leases: Sequence[Lease]) -> list[Range]:
    """The ranges of hashes that no lease covers. They are not ranges of the service, so they have no id."""
    found, at = list[Range](), FIRST
    for lease in sorted(leases, key=lambda lease: lease.range.key):
        if lease.range.begin > at:
            found.append(Range(at, lease.range.begin, ""))
        at = max(at, lease.range.end)
    return [*found, Range(at, LAST, "")] if at < LAST else found


def wanted(me: str, leases: Sequence[Lease], free: Sequence[Lease]) -> list[Lease]:
    """The free ones up to a fair share; if there are none, one of the host that has the most above it."""
    held = Counter(lease.owner for lease in leases if lease not in free)
    hosts = len({*held, me})
    share = math.ceil(len(leases) / hosts)
    missing = share - held[me]
    if missing <= 0:
        return []
    others = [lease for lease in free if lease.owner != me]
    mine = [lease for lease in free if lease.owner == me]
    if free:
        return [*mine, *others][:missing]
    richest, count = max(held.items(), key=lambda item: item[1])
    if richest == me or count < held[me] + 2:
        return []
    return [next(lease for lease in leases if lease.owner == richest)]
