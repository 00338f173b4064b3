"""The feed ranges of a container, numbered for ever: pure.

Azure Cosmos DB divides the hashes of all partition keys into ranges. Each is a partition of the log, with a number that
is never used again. When a range splits, each part of it is a new partition, whose parent is the old one.

A part takes over the LSNs of its parent: the documents keep theirs, and new ones get higher ones. So a position of the
parent is a position of each part, with the same offset, and means the same there: what lies at or before it is what the
parent had at or before it. Nothing else is needed to hand over checkpoints, tokens and cuts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from twofold.errors import ConfigurationError


class Physical(msgspec.Struct, frozen=True, order=True):
    """A range as the service has it now: hashes from `begin` to `end`, exclusive, as hex digits."""

    begin: str
    end: str
    id: str


class Numbered(msgspec.Struct, frozen=True):
    """A partition. `parent` is the number of the one that it is a part of; None if it is original."""

    number: int
    range: Physical
    parent: int | None = None


class Ranges:
    """All partitions of a log, former ones too, in order of their numbers 1, 2, …"""

    def __init__(self, all_: Sequence[Numbered]) -> None:
        self.all = tuple(all_)
        parents = {one.parent for one in self.all}
        self._leaves = sorted((one for one in self.all if one.number not in parents), key=lambda one: one.range)
        self._begins = [one.range.begin for one in self._leaves]

    @property
    def leaves(self) -> Sequence[Numbered]:
        """Those that have not split, in order of their hashes."""
        return self._leaves

    def holding(self, hash_: str) -> Numbered:
        """The partition that holds the keys with this hash."""
        return self._leaves[bisect_right(self._begins, hash_) - 1]

    def parents(self) -> Sequence[int | None]:
        """The parent of each partition, by number minus one."""
        return [one.parent for one in self.all]

    def updated(self, now: Iterable[Physical]) -> Ranges:
        """These ranges, and the new ones among those that the service has now.

        Raises: ConfigurationError if ranges were merged.
        """
        found = list(self.all)
        for physical in sorted(now):
            self._check_not_merged(physical)
            within = next((leaf for leaf in self._leaves if _contains(leaf.range, physical)), None)
            if within is None or within.range.id != physical.id:
                found.append(Numbered(len(found) + 1, physical, None if within is None else within.number))
        return self if len(found) == len(self.all) else Ranges(found)

    def _check_not_merged(self, physical: Physical) -> None:
        within = [leaf for leaf in self._leaves if _contains(physical, leaf.range) and leaf.range.id != physical.id]
        if within:  # one: it had split, too, and nobody has seen that
            numbers = " and ".join(str(leaf.number) for leaf in within)
            raise ConfigurationError(
                f"Azure Cosmos DB has merged feed ranges of partition {numbers}: the events of the new range are in an "
                f"order that no reader can go on in. Go on with a copy made before (`twofold copy`), and never merge "
                f"the ranges of a container that holds a log"
            )


def _contains(outer: Physical, inner: Physical) -> bool:
    return outer.begin <= inner.begin and inner.end <= outer.end
