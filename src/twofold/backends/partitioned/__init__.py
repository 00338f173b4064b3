"""A log of several partitions, composed of ordinary logs."""

from twofold.backends.partitioned.log import Partitioned

__all__ = ["Partitioned"]
