"""Which leases a host takes. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from devservers.functions.leases import Lease


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
