"""Rollup: a read model of a read model, and what its fields can be computed by."""

from twofold.read.rollup import Rollup, average, count, distinct, latest, maximum, minimum, total

__all__ = ["Rollup", "average", "count", "distinct", "latest", "maximum", "minimum", "total"]
