"""For tests of your domain: given, when, then; facts as the feed delivers them; read models folded in memory.

Nothing here needs a store, an event loop or a test runner. The suite for backends is `twofold.testing.conformance`.
"""

from twofold.testing.decisions import Decision, Given, given
from twofold.testing.folds import recorded, rows

__all__ = ["Decision", "Given", "given", "recorded", "rows"]
